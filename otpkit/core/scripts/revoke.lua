-- End the live challenge of a slot; its sends stay counted.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or '' (unused); 2 slot
-- Returns how many were ended, 0 or 1

return redis.call('HDEL', KEYS[1], 'c' .. ARGV[2])
