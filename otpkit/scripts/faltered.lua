-- Record that a gateway failed, or that it served again: after so many failures in a row it rests.
--
-- KEYS  1 the gateways: a field each, "failures ends", when its rest ends in ms, 0 for none
-- ARGV  1 now in ms, or ''; 2 its name; 3 failures in a row before a rest, 0 where it served; 4 the rest in ms
-- Returns 1 where it rests from now on, else 0

--# include base

local MEMORY_MS = 7200000 -- without a failure for so long all is forgotten; longer than any rest

if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  return 0
end
local now = server_now()
local failures = tonumber(string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '0', '^%d+')) + 1
local rests = failures >= tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[2], string.format('%d %.0f', failures, rests and now + ARGV[4] or 0))
redis.call('PEXPIRE', KEYS[1], MEMORY_MS)
return rests and 1 or 0
