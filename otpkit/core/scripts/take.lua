-- Take one from a wider limit, where it can't be done in the script of the phone (a cluster keeps them on other nodes).
-- Run again it takes none, and answers as before.
--
-- KEYS  1 the limit; 2 what remembers this one for a minute
-- ARGV  1 now in ms, or ''; 2 its rates
-- Returns {when it was taken, 0}, or {now, wait ms, limit, window ms} of the rate that is used up and takes longest

--# include base window

local MEMORY_MS = 60000

local taken = redis.call('GET', KEYS[2])
if taken then return { tonumber(taken), 0 } end
local found = window_read(1, ARGV[2], now)
if found.wait == 0 then
  window_take(1, found)
  redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', MEMORY_MS)
  window_keep(1, found)
end
return { now, found.wait, found.limit, found.window }
