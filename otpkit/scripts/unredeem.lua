-- Take back a redemption that too few replicas confirmed: the proof can be redeemed again.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or ''; 2 operation id of the redemption; 3 the proof's id
-- Returns 1 where the proof is not redeemed by that operation, else 0

--# include base phone

local proof = field(load_phone(KEYS[1], server_now()), 'p' .. ARGV[3])
if proof and sub(proof, 14, 29) == ARGV[2] then redis.call('HSET', KEYS[1], 'p' .. ARGV[3], sub(proof, 1, 13)) end
return 1
