-- End the live challenge of a purpose and a bind; its sends stay counted.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or '' (unused); 2 challenge_field
-- Returns the number of ended challenges, 0 or 1

return redis.call('HDEL', KEYS[1], 'c' .. ARGV[2])
