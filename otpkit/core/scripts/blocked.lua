-- Count consecutive wrong codes, in a separate key: `consecutive`. They block the phone (`is_blocked`) if they are `most` or more.
-- A block never expires, and strangers are blocked first.

local CONSECUTIVE_LIFE_MS = 34560000000 -- 400 days.
local is_blocked, consecutive = false, redis.call('GET', KEYS[2])
if not consecutive then
  consecutive = 0
else
  consecutive = tonumber(consecutive)
  if consecutive >= STRANGER_CONSECUTIVE then
    redis.call('PERSIST', KEYS[2])
    is_blocked = consecutive >= (device_valid and MAX_CONSECUTIVE_FAILURES or STRANGER_CONSECUTIVE)
  elseif consecutive == 1 and redis.call('PTTL', KEYS[2]) == -1 then
    -- A first failure without expiry lost it to a refused write. A higher count without one is a stricter policy's block.
    redis.call('PEXPIRE', KEYS[2], CONSECUTIVE_LIFE_MS)
  end
end
