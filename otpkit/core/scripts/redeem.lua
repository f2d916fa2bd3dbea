-- Redeem a proof: once ever.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or ''; 2 operation: its id; 3 proof: its id; 4 expires_ms: when the token expires
--       [; 5 call: the id of this call, if several calls share the operation of an idempotency key]
-- Returns, after the operation (see operation.lua):
--         {'redeemed'}
--         {'repeated'} the same operation had already redeemed it, probably in another call
--         {'expired'}
--         {'used'} it was redeemed by another operation, or its record is gone

--# include clock phone operation pack

local name, redeemer = 'p' .. ARGV[3], 'r' .. ARGV[3]
local phone = load_phone(now)
local proof = field(phone, name)
if tonumber(ARGV[4]) <= now or (proof and unpack_ms(proof, 7) <= now) then return { operation, 'expired' } end
if not proof then return { operation, 'used' } end
if #proof == 13 then
  if ARGV[5] then
    redis.call('HSET', KEYS[1], name, proof .. ARGV[2], redeemer, pack_ms(now) .. ARGV[5])
  else
    redis.call('HSET', KEYS[1], name, proof .. ARGV[2])
  end
  for i = 1, REPLICAS > 0 and #phone.fields or 0, 2 do -- unverify.lua no longer restores the challenge of a redeemed proof.
    if byte(phone.fields[i]) == 99 and sub(phone.fields[i + 1], 47, 62) == ARGV[3] then
      redis.call('HDEL', KEYS[1], phone.fields[i])
    end
  end
  return { operation, 'redeemed' }
end
if sub(proof, 14, 29) ~= ARGV[2] then return { operation, 'used' } end
--# include repeated
repeated(phone, name)
-- This call's own reply was lost: it is a retry.
if ARGV[5] and sub(redis.call('HGET', KEYS[1], redeemer) or '', 7) == ARGV[5] then return { operation, 'redeemed' } end
return { operation, 'repeated' }
