-- Read what is remembered of a captcha's answer, or remember that it was right. It is used up by reserve.lua.
--
-- KEYS  1 answer_key
-- ARGV  1 now: in ms, or '' (unused); 2 life_ms: how long to remember that the answer was right, or 0 to read
-- Returns 0 if nothing is remembered, 1 if the answer was right, 2 if it was used

local value = redis.call('GET', KEYS[1])
if value then return string.sub(value, 1, 1) == 'u' and 2 or 1 end
if ARGV[2] == '0' then return 0 end
redis.call('SET', KEYS[1], 'r', 'PX', ARGV[2])
return 1
