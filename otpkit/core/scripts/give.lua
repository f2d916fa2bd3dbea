-- Give back one that was taken from a wider limit, once, and while that is remembered.
--
-- KEYS  1 the limit; 2 what remembers that it was taken
-- ARGV  1 now in ms, or '' (unused); 2 its rates; 3 when it was taken, in ms
-- Returns 1

--# include base window

if redis.call('DEL', KEYS[2]) == 1 then window_give(1, ARGV[2], tonumber(ARGV[3])) end
return 1
