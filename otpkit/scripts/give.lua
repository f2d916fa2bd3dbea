-- Give back one that was taken from a wider limit.
--
-- KEYS  1 the limit
-- ARGV  1 now in ms, or '' (unused); 2 its rates; 3 when it was taken, in ms
-- Returns 1

--# include base window

window_give(KEYS[1], ARGV[2], tonumber(ARGV[3]))
return 1
