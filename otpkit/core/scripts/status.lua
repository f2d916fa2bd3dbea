-- Tell of the latest send of a slot, and whether its challenge lives.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or ''; 2 slot
-- Returns {now, live (0 or 1), send id in hexadecimal, send time in ms, …description}, or {now} where nothing was sent

--# include base phone describe

local phone = load_phone(now)
local challenge, link, ends = live_challenge(phone, ARGV[2])
local send = latest_send(phone, link or ARGV[2])
if not send then return { now } end
return { now, challenge and 1 or 0, hex(sub(send.name, 2)), send.time, describe(phone, send, challenge, ends) }
