-- Take one unit from a wider limit that the phone's script can't charge (a cluster keeps it on another node).
-- A repeated run takes none, and returns the same.
--
-- KEYS  1 limit_key; 2 memory_key: it remembers this unit for a minute
-- ARGV  1 now: in ms, or ''; 2 rates
-- Returns {consumed_ms, 0}: the time of the unit, or {now_ms, wait_ms, limit, window_ms} of the used-up rate with the
--         longest wait

--# include clock window

local MEMORY_MS = '60000'

local taken = redis.call('GET', KEYS[2])
if taken then return { tonumber(taken), 0 } end
local found = window_read(1, ARGV[2], now)
if found.wait == 0 then
  window_consume(1, found)
  redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', MEMORY_MS)
  window_keep(1, found)
end
return { now, found.wait, found.limit, found.window }
