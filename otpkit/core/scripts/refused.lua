-- Return the reply if the guard refuses: {'refused', now_ms, scope, wait_ms, judged [, …described]}. The description is
-- present if a challenge is live.
local function refused(phone, challenge_field, scope, wait, judged)
  local challenge, link, ends = live_challenge(phone, challenge_field)
  if not challenge then return { operation, 'refused', phone.now, scope, wait, judged } end
  return { operation, 'refused', phone.now, scope, wait, judged, describe(phone, latest_send(phone, link), challenge, ends) }
end
