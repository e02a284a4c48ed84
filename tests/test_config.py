"""Settings come from arguments, the environment and defaults, and are checked at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from personaclick_async import (
    CachePolicy,
    ConfigurationError,
    PersonaClick,
    RateLimit,
    RetryPolicy,
    Timeouts,
)
from personaclick_async.config import UNSET, CallOptions, load_config

SHOP_ID = "e0" * 15


def test_what_is_not_passed_comes_from_the_environment() -> None:
    config = load_config(
        {"shop_id": UNSET, "stream": "mail"},
        {
            "PERSONACLICK_SHOP_ID": SHOP_ID,
            "PERSONACLICK_SHOP_SECRET": "secret",
            "PERSONACLICK_API_URL": "http://127.0.0.1:8787",
            "PERSONACLICK_STREAM": "web",
            "PERSONACLICK_TIMEOUT_SECONDS": "3",
            "PERSONACLICK_RETRIES": "5",
            "PERSONACLICK_CACHE_TTL_SECONDS": "60",
            "PERSONACLICK_MAX_CONCURRENCY": "7",
        },
    )

    assert (config.shop_id, config.shop_secret) == (SHOP_ID, "secret")
    assert config.api_url == "http://127.0.0.1:8787/"
    assert config.stream == "mail"
    assert config.timeouts == Timeouts(connect=3, read=3, total=3)
    assert config.retry.attempts == 6
    assert config.cache == CachePolicy(ttl=60)
    assert config.max_concurrency == 7


def test_a_lifetime_of_nothing_turns_the_cache_off() -> None:
    environment = {"PERSONACLICK_SHOP_ID": SHOP_ID, "PERSONACLICK_CACHE_TTL_SECONDS": "0"}

    assert load_config({}, environment).cache is None


def test_the_defaults_are_documented_ones() -> None:
    config = load_config({"shop_id": SHOP_ID}, {})

    assert config.api_url == "https://api.personaclick.com/"
    assert config.shop_secret is None
    assert config.cache == CachePolicy(ttl=300, max_entries=10_000)
    assert list(config.limits.values()) == [RateLimit(40, 60)]


def test_durations_may_be_timedeltas() -> None:
    assert CachePolicy(ttl=timedelta(minutes=2)).ttl == 120
    assert RateLimit(4, timedelta(seconds=1)).seconds == 1
    assert CallOptions(timeout=timedelta(seconds=2)).timeout == 2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "shop_id: pass it, or set PERSONACLICK_SHOP_ID"),
        ({"shop_id": "xyz"}, "shop_id: expected 30 hexadecimal characters, got 3 characters"),
        ({"shop_id": 5}, "shop_id: expected 30 hexadecimal characters, got int"),
        ({"shop_secret": ""}, "shop_secret: expected visible"),
        ({"shop_secret": "a b"}, "shop_secret: expected visible"),
        ({"api_url": "ftp://host"}, "api_url: expected http"),
        ({"api_url": "host"}, "api_url: expected http"),
        ({"api_url": "http://user@host/"}, "api_url: expected http"),
        ({"api_url": "http://host/?a=b"}, "api_url: expected http"),
        ({"api_url": "http://host:99999/"}, "api_url: expected http"),
        ({"api_url": "http://:80/"}, "api_url: expected http"),
        ({"api_url": "http://[::g]/"}, "api_url: expected http"),
        ({"api_url": "http://api..example/"}, "api_url: expected http"),
        ({"api_url": f"http://{'a' * 64}.example/"}, "api_url: expected http"),
        ({"api_url": "http://api\u202e.example/"}, "api_url: expected http"),
        ({"api_url": "http://\\api.example/"}, "api_url: expected http"),
        ({"stream": "a" * 17}, "stream: expected 1 to 16"),
        ({"stream": ""}, "stream: expected 1 to 16"),
        ({"max_concurrency": 0}, "max_concurrency: expected 1 or more"),
        ({"max_answer_bytes": 0}, "max_answer_bytes: expected 1 or more"),
        ({"limits": 5}, "limits: expected a mapping of Family to RateLimit, got int"),
        ({"limits": {"import": 3}}, "limits: expected a mapping of Family to RateLimit, got"),
        ({"limits": {"nope": RateLimit(1, 1)}}, "limits: expected a mapping of Family"),
        ({"set_user_id_name": "uid"}, "set_user_id_name: expected 'id' or 'external_id'"),
        (
            {"now": datetime.now},
            "now: expected a function that returns a date-time with a time zone",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(settings: dict[str, Any], complaint: str) -> None:
    given = settings if not settings or "shop_id" in settings else {"shop_id": SHOP_ID, **settings}
    with pytest.raises(ConfigurationError, match=complaint):
        load_config(given, {})


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Timeouts(total=0), "total: expected more than 0"),
        (lambda: Timeouts(connect=float("nan")), "connect: expected more than 0"),
        (lambda: RetryPolicy(attempts=0), "attempts: expected 1 or more"),
        (lambda: RetryPolicy(first_wait=-1), "first_wait: expected 0 or more"),
        (lambda: CachePolicy(max_entries=0), "max_entries: expected 1 or more"),
        (lambda: RateLimit(0, 1), "requests: expected 1 or more"),
        (lambda: CallOptions(retries=-1), "retries: expected 0 or more"),
        (lambda: CallOptions(stream="a b"), "stream: expected 1 to 16"),
        (lambda: load_config({}, {"PERSONACLICK_RETRIES": "x"}), "PERSONACLICK_RETRIES: expected"),
    ],
)
def test_wrong_policies_are_refused(make: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make()


def test_the_repr_of_the_settings_is_what_can_be_typed() -> None:
    assert "<" not in repr(load_config({"shop_id": SHOP_ID, "limits": {}}, {}))


def test_the_secret_is_in_no_repr() -> None:
    client = PersonaClick(SHOP_ID, shop_secret="canary-secret", api_url="http://127.0.0.1:9/")

    assert "canary" not in f"{client!r} {client.config!r} {vars(client)!r}"
