-- Settle a send that was not rejected: record its outcome, and move its time to the gateway's answer, where the carrier's own
-- windows start. It never creates anything.
--
-- KEYS  1 the phone
-- ARGV  1 now in ms, or ''; 2 operation id of the send; 3 its outcome, a(ccepted) or u(ncertain)
-- Returns {now, when a resend may be, sends left}, or {} where the send is gone

--# include base phone describe

local now = server_now()
local phone = load_phone(KEYS[1], now)
local send = find(phone.sends, ARGV[2])
if not send then return {} end
if send.state == 'p' then
  send.state, send.time = ARGV[3], now
  write(KEYS[1], 's', send)
  keep(KEYS[1], DAY_MS)
  table.sort(phone.sends, newest_first)
end
return { now, resend_at(phone), sends_left(phone) }
