-- Return what is recorded of gateways.
--
-- KEYS  1 gateways_key: see record_failure.lua; 2 notes_key: see note_gateway.lua
-- ARGV  1 now: in ms, or ''; 2… names: of gateways
-- Returns a list: now, then for each name its failures in a row, the end of its rest in ms or 0, the ms at which a circuit that was
--         opened by hand closes or 0, and its last error as "at category code" or ''

--# include clock

local found = { now }
for i = 2, #ARGV do
  local failures, ends = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '0 0 -', '(%d+) (%d+)')
  found[#found + 1] = tonumber(failures)
  found[#found + 1] = tonumber(ends)
  found[#found + 1] = tonumber(redis.call('HGET', KEYS[2], 'H:' .. ARGV[i]) or '0')
  found[#found + 1] = redis.call('HGET', KEYS[2], 'E:' .. ARGV[i]) or ''
end
return found
