-- Consecutive wrong codes, in a key of their own.

local CONSECUTIVE_LIFE_MS = 400 * DAY_MS

-- Whether the phone is blocked, and how many consecutive wrong codes there were. A reached block never expires.
local function blocked()
  local count = redis.call('GET', KEYS[2])
  if not count then return false, 0 end
  count = tonumber(count)
  if count >= MAX_CONSECUTIVE_FAILURES then
    redis.call('PERSIST', KEYS[2])
    return true, count
  end
  -- A first failure has a life, if a server did not refuse it; a higher count without one is a stricter policy's block.
  if count == 1 and redis.call('PTTL', KEYS[2]) == -1 then redis.call('PEXPIRE', KEYS[2], CONSECUTIVE_LIFE_MS) end
  return false, count
end
