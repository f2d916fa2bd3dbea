-- Redeem a proof: once ever.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or ''; 2 operation id; 3 the proof's id; 4 when the token expires, in ms
-- Returns 'redeemed', 'expired', or 'used' (redeemed by another operation, or its record is gone)

--# include base phone

local now = server_now()
local proof = load_phone(KEYS[1], now).proofs[ARGV[3]]
if tonumber(ARGV[4]) <= now or (proof and proof.ends <= now) then return 'expired' end
if not proof then return 'used' end
if proof.redeemed_by == '' then
  proof.redeemed_by = ARGV[2]
  write(KEYS[1], 'p', proof)
elseif proof.redeemed_by == ARGV[2] then
  repeated(KEYS[1], 'p', proof)
end
return proof.redeemed_by == ARGV[2] and 'redeemed' or 'used'
