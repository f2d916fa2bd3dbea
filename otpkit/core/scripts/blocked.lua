-- Count consecutive wrong codes, in a separate key.

local CONSECUTIVE_LIFE_MS = 400 * DAY_MS

-- Return whether `most` consecutive wrong codes block the phone, and their number. A block never expires, and strangers are
-- blocked first.
local function blocked(most)
  local count = redis.call('GET', KEYS[2])
  if not count then return false, 0 end
  count = tonumber(count)
  if count >= STRANGER_CONSECUTIVE then
    redis.call('PERSIST', KEYS[2])
    return count >= most, count
  end
  -- A first failure without expiry lost it to a refused write. A higher count without one is a stricter policy's block.
  if count == 1 and redis.call('PTTL', KEYS[2]) == -1 then redis.call('PEXPIRE', KEYS[2], CONSECUTIVE_LIFE_MS) end
  return false, count
end
