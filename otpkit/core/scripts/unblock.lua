-- Lift a block and clear the failures.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures
-- ARGV  1 now: in ms, or ''
-- Returns the previous number of consecutive failures

--# include clock phone

local count = tonumber(redis.call('GET', KEYS[2]) or 0)
redis.call('DEL', KEYS[2])
for _, failure in ipairs(load_phone(now).failures) do
  redis.call('HDEL', KEYS[1], failure.name)
end
return count
