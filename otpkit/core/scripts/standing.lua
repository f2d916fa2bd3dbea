-- Tell whether a phone is blocked, and what its own limits still allow. It writes nothing but what load_phone corrects.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter
-- ARGV  1 now in ms, or ''
-- Returns {blocked (0 or 1), consecutive failures, sends left, ms until it may be sent a code, failures left, ms until it may try
--         one}

--# include base phone describe

local phone = load_phone(now)
local consecutive = tonumber(redis.call('GET', KEYS[2]) or 0) -- `blocked` would write: it makes a reached block last
local verify_wait = rolling_wait(phone.failures, FAILURES, now)
return {
  consecutive >= MAX_CONSECUTIVE_FAILURES and 1 or 0,
  consecutive,
  rolling_left(phone.sends, SEND_RATES, now),
  max(rolling_wait(phone.sends, SEND_RATES, now), verify_wait), -- reserve.lua looks at both
  rolling_left(phone.failures, FAILURES, now),
  verify_wait,
}
