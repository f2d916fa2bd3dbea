-- Return which gateways have failed lately, and which circuits are open.
--
-- KEYS  1 gateways_key
-- ARGV  1 now: in ms, or ''; 2… names: of gateways
-- Returns for each 0 (closed), 1 (failed, but still tried), or 2 (open)

--# include clock

local states = {}
for i = 2, #ARGV do
  local ends = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+ (%d+)')
  states[i - 1] = ends and (tonumber(ends) > now and 2 or 1) or 0
end
return states
