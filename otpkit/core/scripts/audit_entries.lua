-- Read entries of a stream of the audit, newest first, a page at a time.
--
-- KEYS  1 stream_key: see append_audit.lua
-- ARGV  1 now: in ms, or ''; 2 start: the greatest id, or '+'; 3 since_ms: the earliest time; 4 phone_id: of the entries to read, or ''
--       for all; 5 count: of entries to look at
-- Returns {now_ms, length, oldest_ms, rest, rows}: the length of the stream, the time of its oldest entry or 0, the `start` of the next
--         page or '', and the entries: a line with its id and one for each name and each value, and an empty line between two

--# include clock

local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1]
local entries, rows = redis.call('XREVRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[5]), {}
for _, entry in ipairs(entries) do
  local fields, is_wanted = entry[2], ARGV[4] == ''
  for i = 1, #fields, 2 do
    if fields[i] == 'phone_id' and fields[i + 1] == ARGV[4] then is_wanted = true end
  end
  if is_wanted then rows[#rows + 1] = entry[1] .. '\n' .. table.concat(fields, '\n') end
end
local rest = ''
if #entries == tonumber(ARGV[5]) then rest = '(' .. entries[#entries][1] end
return {
  now, redis.call('XLEN', KEYS[1]), oldest and tonumber(string.match(oldest[1], '^%d+')) or 0, rest, table.concat(rows, '\n\n'),
}
