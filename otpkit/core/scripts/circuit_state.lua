-- Tell which gateways have failed lately, and whose circuit is open.
--
-- KEYS  1 gateways_key
-- ARGV  1 now: in ms, or ''; 2… names: of one gateway each
-- Returns for each 0 (closed), 1 (it failed, and is to be tried), or 2 (open)

--# include clock

local states = {}
for i = 2, #ARGV do
  local ends = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+ (%d+)')
  states[i - 1] = ends and (tonumber(ends) > now and 2 or 1) or 0
end
return states
