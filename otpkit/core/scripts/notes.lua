-- Read what was noted for the report.
--
-- KEYS  1 notes_key; 2 since_key: see note.lua
-- ARGV  1 now: in ms, or ''
-- Returns {now_ms, since_ms, noted}: the time from which a guard has only observed, or 0; the fields and their values, each on a line of its own

--# include clock

return { now, tonumber(redis.call('GET', KEYS[2]) or 0), table.concat(redis.call('HGETALL', KEYS[1]), '\n') }
