-- Return the latest send of a purpose and a bind, and whether its challenge is live.
--
-- KEYS  1 phone_key; 2 device_key: the time up to which the phone's device tokens are void, only with device_since
-- ARGV  1 now: in ms, or ''; 2 challenge_field; 3 device_since: the time of the verification that made the device's token, in ms, or ''
-- Returns {now_ms, live, operation, sent_ms, …described}: live is 0 or 1, and the operation the send's id in hexadecimal; or
--         {now_ms} if nothing was sent

--# include clock phone challenge rolling

local device_valid = ARGV[3] ~= ''
if device_valid then
  --# include device
  device_valid = is_valid_device(2, tonumber(ARGV[3]))
end

--# include describe

local phone = load_phone(now)
local challenge, link, ends = live_challenge(phone, ARGV[2])
local send = latest_send(phone, link or ARGV[2])
if not send then return { now } end
return { now, challenge and 1 or 0, hex(sub(send.name, 2)), send.time, describe(phone, send, challenge, ends) }
