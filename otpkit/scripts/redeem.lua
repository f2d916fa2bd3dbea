-- Redeem a proof: once ever.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or ''; 2 operation id; 3 the proof's id; 4 when the token expires, in ms
-- Returns 'redeemed', 'repeated' (redeemed before, by this very operation), 'expired', or 'used' (redeemed by another operation,
--         or its record is gone)

--# include base phone

local now = server_now()
local name = 'p' .. ARGV[3]
local phone = load_phone(now)
local proof = field(phone, name)
if tonumber(ARGV[4]) <= now or (proof and unpack_ms(proof, 7) <= now) then return 'expired' end
if not proof then return 'used' end
if #proof == 13 then
  redis.call('HSET', KEYS[1], name, proof .. ARGV[2])
  return 'redeemed'
end
if sub(proof, 14, 29) ~= ARGV[2] then return 'used' end
repeated(phone, name)
return 'repeated'
