-- Return the reply if a rate refuses: {'limited', now_ms, scope, wait_ms, limit, window_ms [, …described]}. The description
-- is present if a challenge is live.
local function limited(phone, challenge_field, scope, wait, limit, window)
  local challenge, link, ends = live_challenge(phone, challenge_field)
  if not challenge then return { operation, 'limited', phone.now, scope, wait, limit, window } end
  return { operation, 'limited', phone.now, scope, wait, limit, window, describe(phone, latest_send(phone, link), challenge, ends) }
end
