-- Forget a phone's devices: every token that was made until now is void. Its not-before key is the first key. The time in it
-- never moves back, and its life never gets shorter.

local void = max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local life = max(DEVICE_TTL, redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], string.format('%.0f', void), 'PX', life)
