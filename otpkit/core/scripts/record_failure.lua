-- Record that a gateway failed, or that it served again. After `most_failures` in a row its circuit opens. A repeated run
-- counts once.
--
-- KEYS  1 gateways_key: a field each, "failures ends operation": the end of its rest in ms or 0, and the last operation
-- ARGV  1 now: in ms, or ''; 2 name; 3 most_failures: in a row before a rest, 0 if it served; 4 rest_ms; 5 operation: its id
-- Returns 1 if this failure opened the circuit, or if serving closed it, else 0

--# include clock

local MEMORY_MS = 7200000 -- The record expires this long after the last failure. It is longer than any rest.

local failures, ends, operation = string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '0 0 -', '(%d+) (%d+) (%S+)')
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  return ends == '0' and 0 or 1
end
if operation ~= ARGV[5] then
  failures = failures + 1
  local rests = failures >= tonumber(ARGV[3]) and now + ARGV[4] or 0
  redis.call('HSET', KEYS[1], ARGV[2], string.format('%d %.0f %s', failures, rests, ARGV[5]))
  redis.call('PEXPIRE', KEYS[1], MEMORY_MS)
end
return tonumber(failures) == tonumber(ARGV[3]) and 1 or 0
