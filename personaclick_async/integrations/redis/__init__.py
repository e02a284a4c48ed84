"""A profile cache that processes share through a Redis server (the extra ``redis``).

::

    from personaclick_async.integrations.redis import RedisStore

    client = PersonaClick(shop_id="…", store=RedisStore("redis://cache.internal/0"))
"""

try:
    from personaclick_async.integrations.redis.store import RedisStore
except ModuleNotFoundError as missing:
    raise ImportError(
        "redis-py is not installed: pip install 'personaclick-async[redis]'"
    ) from missing

__all__ = ["RedisStore"]
