-- Judge a send by what its scopes found on other nodes, where they have counted it: see count_narrow.lua and count_wide.lua.
-- The guard's argument is as in judge.lua; its captcha may also be u(sed before). After the region, it has the sum of the scopes
-- over their allowance, the scope that refuses or -, its wait in ms, the sum of the scopes that counted the send (see phone.lua),
-- and the times in ms in the region and in the range, or 0.
--
-- `judged` is as in judge.lua, and 512 if a device is exempt from region and total.

local guard, counts_send = ARGV[7] or '', false
local mode, captcha, known, _, _, asked = byte(guard, 1, 6)
local device, counted_in, counted_at, range_at = device_valid, 0, 0, 0

if mode and not own then
  --# include exempt
  counts_send = true
  local found, guard_scope, guard_wait, counts, its_time, range_time = string.match(guard, ' (%d+) (%S+) (%d+) (%d+) (%d+) (%d+)$')
  judged, counted_in, guard_wait = tonumber(found), tonumber(counts), tonumber(guard_wait)
  counted_at, range_at = tonumber(its_time), tonumber(range_time)
  local is_used = captcha == 117
  if is_used then captcha = 110 end
  if device then
    judged = judged - judged % 32 + judged % 8
    counted_in = counted_in % 4
  end
  local guesses_are_over = judged >= 32
  if asked == 49 then judged = judged + 64 end
  if mode == 101 then
    if guard_wait > 0 then
      --# include refused
      --# include refusal
      refusal('grefused')
      return refused(phone, challenge_field, guard_scope, guard_wait, judged)
    end
    if judged > 0 and captcha == 110 then
      --# include refusal
      refusal('gcaptcha')
      return { operation, 'captcha', now, judged, is_used and 1 or 0 }
    end
    if guesses_are_over and captcha ~= 112 and known ~= 49 and not device and ATTEMPTS > 2 then
      fresh = sub(fresh, 1, 36) .. char(ATTEMPTS - 2) .. sub(fresh, 38)
    end
  elseif guard_wait > 0 then
    judged = judged + 256
  end
  if captcha == 112 then judged = judged + 128 end
  if device then judged = judged + 512 end
end
