-- Take one from a wider limit, where it can't be done in the script of the phone (a cluster keeps them on other nodes).
--
-- KEYS  1 the limit
-- ARGV  1 now in ms, or ''; 2 its rates
-- Returns {now, wait ms}; a wait of 0 says that one was taken

--# include base window

local now = server_now()
local wait = window_wait(KEYS[1], ARGV[2], now)
if wait == 0 then window_take(KEYS[1], ARGV[2], now) end
return { now, wait }
