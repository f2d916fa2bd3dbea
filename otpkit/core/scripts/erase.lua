-- Remove all that is stored about a phone, and forget its devices.
--
-- KEYS  1 device_key: the time up to which the phone's device tokens are void; 2 phone_key; 3 counter_key: its consecutive failures
-- ARGV  1 now: in ms, or ''
-- Returns {records, sends, challenges, wrong_codes, proofs, consecutive_failures}: what was removed. records is the number of all fields
--         of the phone (see phone.lua).

--# include clock

local fields, sends, challenges, failures, proofs = redis.call('HGETALL', KEYS[2]), 0, 0, 0, 0
for i = 1, #fields, 2 do
  local kind = byte(fields[i])
  if kind == 115 then sends = sends + 1 end
  if kind == 99 then challenges = challenges + 1 end
  if kind == 102 then failures = failures + 1 end
  if kind == 112 then proofs = proofs + 1 end
end
local consecutive = tonumber(redis.call('GET', KEYS[3]) or 0)
redis.call('DEL', KEYS[2], KEYS[3]) -- It comes first, so that a full server has room for the rest.
--# include forget
return { #fields / 2, sends, challenges, failures, proofs, consecutive }
