-- Override a scope by an operator's decision, or end that.
--
-- KEYS  1 record_key: see records.lua
-- ARGV  1 now: in ms, or ''; 2 letter: a(llow), b(lock), or - to end an override; 3 life_ms: how long it holds; 4 size: of a record
--       without an override: 32, or 118 for a region
-- Returns 1

--# include clock pack records rolled region

local record = redis.call('GET', KEYS[1])
if ARGV[2] == '-' then
  if record then redis.call('SET', KEYS[1], sub(record, 1, ARGV[4]), 'KEEPTTL') end
  return 1
end
record = record or (ARGV[4] == '32' and EMPTY or EMPTY_REGION)
local life = redis.call('PTTL', KEYS[1])
record = sub(record, 1, ARGV[4]) .. ARGV[2] .. pack_ms(now + ARGV[3])
if life < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[1], record, 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
end
return 1
