"""A profile cache that processes share through a Redis server (the extra ``redis``).

::

    from personaclick_async.integrations.redis import RedisStore

    client = PersonaClick(shop_id="…", store=RedisStore("redis://cache.internal/0"))
"""

from personaclick_async.integrations.redis.store import RedisStore

__all__ = ["RedisStore"]
