"""What Redis is still to be told is told once, in bounded memory, and never lost."""

from __future__ import annotations

from personaclick_async.integrations.redis.debts import Debts


def test_what_is_owed_is_due_until_it_is_paid() -> None:
    debts = Debts(most=10)
    assert not debts
    debt = debts.owe(["a", "b"])
    assert debts
    assert debts.owes("a")
    assert not debts.owes("c")
    debts.pay(debt)
    assert not debts
    assert debts.due(most=5) is None


def test_what_is_owed_again_while_it_is_paid_stays() -> None:
    debts = Debts(most=10)
    first = debts.owe(["a", "b"])
    second = debts.owe(["a"])
    debts.pay(first)
    assert debts.owes("a")
    assert not debts.owes("b")
    debts.pay(second)
    assert not debts


def test_it_comes_due_in_portions() -> None:
    debts = Debts(most=10)
    debts.owe(["a", "b", "c"])
    portions = []
    while (debt := debts.due(most=2)) is not None:
        portions.append(list(debt.keys))
        debts.pay(debt)
    assert portions == [["a", "b"], ["c"]]


def test_beyond_the_bound_everything_is_owed() -> None:
    debts = Debts(most=2)
    debts.owe(["a", "b", "c"])
    assert debts.owes("z")
    debt = debts.due(most=1)
    assert debt is not None
    assert debt.is_all
    debts.owe(["d"])
    debts.pay(debt)
    assert not debts.owes("z")
    assert debts.owes("d")


def test_everything_owed_again_while_it_is_paid_stays() -> None:
    debts = Debts(most=2)
    debts.owe_all()
    debt = debts.due(most=1)
    assert debt is not None
    debts.owe_all()
    debts.pay(debt)
    assert debts.owes("z")
