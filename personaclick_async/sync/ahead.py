"""Work that others do, some of it ahead of what is wanted next."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

F = TypeVar("F")
T = TypeVar("T")
A = TypeVar("A")


async def in_order(
    arguments: Iterable[A],
    *,
    ahead: int,
    start: Callable[[int, A], F],
    result: Callable[[F], Awaitable[T]],
    cancel: Callable[[Iterable[F]], Awaitable[None]],
) -> AsyncGenerator[T, None]:
    """Have something done for each argument, and give the results in their order.

    :param ahead: how much is begun at most that was not given yet.
    :param start: begins the work on an argument, which it gets with its number.
    :param result: waits for what was begun.
    :param cancel: gets what was begun and is not wanted any more.
    """
    left = enumerate(arguments)
    begun: deque[F] = deque()
    try:
        while True:
            while len(begun) < ahead and (one := next(left, None)) is not None:
                begun.append(start(*one))
            if not begun:
                return
            found = await result(begun[0])
            begun.popleft()
            yield found
    finally:
        await cancel(begun)
