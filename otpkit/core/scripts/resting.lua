-- Tell which gateways have failed lately, and which rest.
--
-- KEYS  1 the gateways
-- ARGV  1 now in ms, or ''; 2… the name of one each
-- Returns for each 0 (well), 1 (it failed, and is to be tried), or 2 (it rests)

--# include base

local states = {}
for i = 2, #ARGV do
  local ends = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+ (%d+)')
  states[i - 1] = ends and (tonumber(ends) > now and 2 or 1) or 0
end
return states
