-- Return whether a phone is blocked, and what its own limits still allow. It writes only what load_phone corrects.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures
-- ARGV  1 now: in ms, or ''
-- Returns {blocked, consecutive_failures, sends_left, send_wait_ms, failures_left, verify_wait_ms, device_blocked,
--         device_sends_left, device_send_wait_ms, device_failures_left, device_verify_wait_ms}: blocked is 0 or 1, and the waits
--         are until a send and until a verification are allowed, without and with a valid device token

--# include clock phone rolling

local phone = load_phone(now)
local consecutive = tonumber(redis.call('GET', KEYS[2]) or 0) -- Do not call `blocked`, which would write: it makes a block permanent.

local function left(send_rates, failure_rates)
  local verify_wait = rolling_wait(phone.failures, failure_rates, now)
  return rolling_left(phone.sends, send_rates, now),
    max(rolling_wait(phone.sends, send_rates, now), verify_wait), -- reserve.lua checks both.
    rolling_left(phone.failures, failure_rates, now),
    verify_wait
end

local sends_left, send_wait, failures_left, verify_wait = left(STRANGER_SENDS, STRANGER_FAILURES)
return {
  consecutive >= STRANGER_CONSECUTIVE and 1 or 0, consecutive, sends_left, send_wait, failures_left, verify_wait,
  consecutive >= MAX_CONSECUTIVE_FAILURES and 1 or 0, left(SENDS, FAILURES),
}
