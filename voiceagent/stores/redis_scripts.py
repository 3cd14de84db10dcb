"""What Redis does in one piece, in its own language.

Of a call there are three keys: what it is (`fence`, `ended`), its lines, and the fence of its lease, which runs out.
Beside them the newest fence of all, and the calls that have not ended; one that nobody will end leaves them by itself,
no sooner than its journal is gone.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SCRIPTS"]

_NAMES = """
local call, lines, lease, open, fences = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
"""

_OWN = """
local function own(fence, lease_ms, retention_ms)
  redis.call('SET', lease, fence, 'PX', lease_ms)
  redis.call('PEXPIRE', call, retention_ms)
  redis.call('PEXPIRE', lines, retention_ms)
end
"""

_OWNED = """
if redis.call('HGET', call, 'fence') ~= ARGV[1] or redis.call('HEXISTS', call, 'ended') == 1 then return -1 end
"""

SCRIPTS: Mapping[str, str] = {
    "count": """
        local count = redis.call('INCR', KEYS[1])
        if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
        return count
    """,
    "join": """
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
        local others = redis.call('ZCARD', KEYS[1])
        if redis.call('ZSCORE', KEYS[1], ARGV[1]) then others = others - 1 end
        if others >= tonumber(ARGV[2]) then return 0 end
        redis.call('ZADD', KEYS[1], now_ms + ARGV[3], ARGV[1])
        if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
        return 1
    """,
    "begin": _NAMES
    + _OWN
    + """
        if redis.call('EXISTS', call) == 1 then return false end
        local fence = redis.call('INCR', fences)
        redis.call('DEL', lines)
        redis.call('HSET', call, 'fence', fence)
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', open, '-inf', now_ms)
        redis.call('ZADD', open, now_ms + 2 * ARGV[3], ARGV[1])
        own(fence, ARGV[2], ARGV[3])
        return fence
    """,
    "take_over": _NAMES
    + _OWN
    + """
        if redis.call('EXISTS', call) == 0 or redis.call('HEXISTS', call, 'ended') == 1 then return false end
        if ARGV[1] == '0' and redis.call('EXISTS', lease) == 1 then return false end
        local fence = redis.call('INCR', fences)
        redis.call('HSET', call, 'fence', fence)
        own(fence, ARGV[2], ARGV[3])
        return fence
    """,
    "renew": _NAMES
    + _OWN
    + _OWNED
    + """
        own(ARGV[1], ARGV[2], ARGV[3])
        return 0
    """,
    "append": _NAMES
    + _OWN
    + _OWNED
    + """
        local length = redis.call('LLEN', lines)
        if length ~= tonumber(ARGV[4]) then return length end
        for number = 5, #ARGV do redis.call('RPUSH', lines, ARGV[number]) end
        own(ARGV[1], ARGV[2], ARGV[3])
        return length + #ARGV - 4
    """,
    "read": _NAMES
    + """
        if redis.call('EXISTS', call) == 0 then return false end
        return {redis.call('HEXISTS', call, 'ended'), redis.call('LRANGE', lines, ARGV[1], -1)}
    """,
    "end": _NAMES
    + _OWN
    + _OWNED
    + """
        own(ARGV[1], ARGV[2], ARGV[3])
        redis.call('HSET', call, 'ended', 1)
        redis.call('DEL', lease)
        if ARGV[5] == '0' then redis.call('DEL', lines) end
        redis.call('ZREM', open, ARGV[4])
        return 0
    """,
    "release": _NAMES
    + """
        if redis.call('GET', lease) == ARGV[1] then redis.call('DEL', lease) end
        return 0
    """,
    # The names of other calls are made here: that is what a cluster would not allow.
    "interrupted": """
        local found = {}
        for _, call in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
          if redis.call('EXISTS', ARGV[1] .. call) == 0 then
            redis.call('ZREM', KEYS[1], call)
          elseif redis.call('EXISTS', ARGV[1] .. call .. ':lease') == 0 then
            found[#found + 1] = call
          end
        end
        return found
    """,
    "erase": _NAMES
    + """
        redis.call('DEL', call, lines, lease)
        redis.call('ZREM', open, ARGV[1])
        return 0
    """,
}
