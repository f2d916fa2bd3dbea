-- Judge a device token whose signature is right. `since` is the time of the verification that made it.

-- Return the time up to which a phone's device tokens are void, or nil. Its key is the i-th key. Managed clusters accept a
-- script only if each key is written as KEYS[digit].
local function not_before(i)
  if i == 1 then return redis.call('GET', KEYS[1]) end
  if i == 2 then return redis.call('GET', KEYS[2]) end
  if i == DEVICE_KEY then return redis.call('GET', KEYS[DEVICE_KEY]) end
end

local function is_valid_device(i, since)
  return since > tonumber(not_before(i) or 0) and since + DEVICE_TTL > now
end
