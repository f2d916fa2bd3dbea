-- Remove all that is kept of a phone.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures
-- Returns how many keys there were

return redis.call('DEL', KEYS[1], KEYS[2])
