-- Take back a redemption that too few replicas confirmed: the proof can be redeemed again.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or ''; 2 operation: the redemption's id; 3 proof: its id; 4 call: its id, if several calls share
--       the operation of an idempotency key, or ''
-- Returns 1: the call has redeemed nothing

--# include clock phone

local proof = field(load_phone(now), 'p' .. ARGV[3])
if proof and sub(proof, 14, 29) == ARGV[2]
  and (ARGV[4] == '' or sub(redis.call('HGET', KEYS[1], 'r' .. ARGV[3]) or '', 7) == ARGV[4]) then
  redis.call('HSET', KEYS[1], 'p' .. ARGV[3], sub(proof, 1, 13))
end
return 1
