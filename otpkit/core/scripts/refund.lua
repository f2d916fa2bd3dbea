-- Refund one unit that was taken from a wider limit: once, and only while it is remembered.
--
-- KEYS  1 limit_key; 2 memory_key: it remembers the unit
-- ARGV  1 now: in ms, or '' (unused); 2 rates; 3 consumed_ms: when it was taken
-- Returns 1

--# include clock window

if redis.call('DEL', KEYS[2]) == 1 then window_refund(1, ARGV[2], tonumber(ARGV[3])) end
return 1
