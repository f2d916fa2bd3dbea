-- Read the figures of a span that ends now.
--
-- KEYS  1 stats_key: see fold.lua
-- ARGV  1 now: in ms, or ''; 2 hours: a number up to 840, or 0 for everything
-- Returns {now_ms, counters}: the names of fields, each with its value behind it; that of an open counter as in the field "open"

--# include clock

local counters = {}
local function add(name, field_name)
  local value = redis.call('HGET', KEYS[1], field_name or name)
  if value then counters[#counters + 1], counters[#counters + 2] = name, value end
end

for line in string.gmatch(redis.call('HGET', KEYS[1], 'open') or '', '[^\n]+') do
  local digits, figure = string.match(line, '^(%d+)( .+)$')
  local hour = tonumber(digits)
  if hour then add(line, char(hour / 65536, hour / 256 % 256, hour % 256) .. figure) end
end
local hour, hours = (now - now % 3600000) / 3600000, tonumber(ARGV[2])
if hours > 0 then
  for i = hour - hours + 1, hour do add(string.format('h%.0f', i)) end
else
  local first_hour, first_day = string.match(redis.call('HGET', KEYS[1], 'first') or '', '^(%d+) (%d+)$')
  if first_hour then
    for i = first_hour, hour do add(string.format('h%.0f', i)) end
    for i = first_day, (hour - hour % 24) / 24 do add(string.format('d%.0f', i)) end
  end
end
return { now, counters }
