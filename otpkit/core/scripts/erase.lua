-- Remove all that is kept of a phone.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter
-- Returns how many keys there were

return redis.call('DEL', KEYS[1], KEYS[2])
