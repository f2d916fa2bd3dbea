-- Remove all that is stored about a phone.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures
-- Returns the number of removed keys

return redis.call('DEL', KEYS[1], KEYS[2])
