-- Return which gateways have failed lately, and which circuits are open.
--
-- KEYS  1 gateways_key: see record_failure.lua; 2 notes_key: see note_gateway.lua
-- ARGV  1 now: in ms, or ''; 2… names: of gateways
-- Returns for each 0 (closed), 1 (failed, but still tried), 2 (open), or 3 (half open: its rest has ended)

--# include clock

local states = {}
for i = 2, #ARGV do
  local ends = tonumber(string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+ (%d+)'))
  local state = 0
  if ends then state = ends > now and 2 or ends > 0 and 3 or 1 end
  local opened = tonumber(redis.call('HGET', KEYS[2], 'H:' .. ARGV[i]) or '0')
  states[i - 1] = opened > now and 2 or state
end
return states
