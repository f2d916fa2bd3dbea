-- The answer to a call that a rate refuses: {'limited', now, scope, wait ms, limit, window ms [, …description of the live
-- challenge]}.
local function limited(phone, slot, scope, wait, limit, window)
  local challenge, link, ends = live_challenge(phone, slot)
  if not challenge then return { operation, 'limited', phone.now, scope, wait, limit, window } end
  return { operation, 'limited', phone.now, scope, wait, limit, window, describe(phone, latest_send(phone, link), challenge, ends) }
end
