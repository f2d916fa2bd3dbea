-- Redeem a proof: once ever.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or ''; 2 operation: its id; 3 proof: its id; 4 expires_ms: when the token expires
--       [; 5 call: an id of this call alone, where an idempotency key gives several calls one operation]
-- Returns, behind the operation as operation.lua has it:
--         {'redeemed'}
--         {'repeated'} the same operation had redeemed it before, in another call as far as is known
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
  for i = 1, REPLICAS > 0 and #phone.fields or 0, 2 do -- unverify.lua gives the challenge of a redeemed proof back no more
    if byte(phone.fields[i]) == 99 and sub(phone.fields[i + 1], 47, 62) == ARGV[3] then
      redis.call('HDEL', KEYS[1], phone.fields[i])
    end
  end
  return { operation, 'redeemed' }
end
if sub(proof, 14, 29) ~= ARGV[2] then return { operation, 'used' } end
--# include repeated
repeated(phone, name)
-- This call's own reply was lost, and it asks again.
if ARGV[5] and sub(redis.call('HGET', KEYS[1], redeemer) or '', 7) == ARGV[5] then return { operation, 'redeemed' } end
return { operation, 'repeated' }
