"""What Redis does in one step: reading with a permit, and keeping with it.

A reader who finds nothing gets a permit and asks the service. Forgetting a profile deletes its
permit, so that what was asked for before a write can't be kept after it. A permit that Redis has
lost, by a restart or an eviction, is one that has ended: losing data never brings old data back.
"""

from __future__ import annotations

from typing import Final

PERMIT_MILLISECONDS: Final = 180_000
"""What the service takes longer to answer is not shared; the retries of a read end before."""

READ: Final = """
local profile, permit, epoch = KEYS[1], KEYS[2], KEYS[3]
local chance, permit_ms, max_age_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local era = redis.call('GET', epoch)
if not era then
    era = chance
    redis.call('SET', epoch, era)
end

local kept = redis.call('HMGET', profile, 'epoch', 'ttl', 'body')
if max_age_ms > 0 and kept[1] == era then
    local age = tonumber(kept[2]) - redis.call('PTTL', profile)
    if age < max_age_ms then
        return {kept[3], age}
    end
end

local given = max_age_ms > 0 and redis.call('GET', permit)
if not given or string.sub(given, 1, #era) ~= era then
    given = era .. chance
end
redis.call('SET', permit, given, 'PX', permit_ms)
return {given}
"""
"""Gives ``{body, age in ms}``, or ``{permit}``; readers share a permit unless the age is 0."""

KEEP: Final = """
local profile, permit, epoch = KEYS[1], KEYS[2], KEYS[3]
local given, body, ttl_ms, channel, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local era = redis.call('GET', epoch)
if not era or redis.call('GET', permit) ~= given or string.sub(given, 1, #era) ~= era then
    return 0
end

local replaced = redis.call('DEL', profile)
redis.call('HSET', profile, 'epoch', era, 'ttl', ttl_ms, 'body', body)
redis.call('PEXPIRE', profile, ttl_ms)
redis.call('DEL', permit)
if replaced == 1 then
    redis.call('PUBLISH', channel, message)
end
return 1
"""
"""Gives 1 if the body was kept, and tells the others if it took the place of an older one."""
