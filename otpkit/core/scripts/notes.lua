-- Read what was noted for the report.
--
-- KEYS  1 notes_key: see note.lua
-- ARGV  1 now: in ms, or ''
-- Returns {now_ms, noted}: the fields and their values, each on a line of its own

--# include clock

return { now, table.concat(redis.call('HGETALL', KEYS[1]), '\n') }
