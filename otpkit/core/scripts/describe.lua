-- Describe a send and its challenge for callers, whose device may be known: `device_valid`.

local SEND_RATES = device_valid and SENDS or STRANGER_SENDS -- One table for all uses.

local function hex(text)
  return string.format(string.rep('%02x', #text), byte(text, 1, #text))
end

-- Return the latest send of a challenge field or of a link, which starts with the challenge field.
local function latest_send(phone, start)
  for _, send in ipairs(phone.sends) do
    if sub(send.value, 14, 13 + #start) == start and byte(send.value, 13) ~= 114 then return send end
  end
end

-- Return the record of the gateway that served a send (see phone.lua), or ''.
local function served_by(phone, send)
  return field(phone, 'g' .. sub(send.name, 2)) or ''
end

-- Return a description for the end of a reply: ends_ms, resend_ms (when a resend is allowed), attempts_left, sends_left,
-- delivery, generation, fixed, served_by. The delivery is the letter of a send's state. The generation is the link without
-- its challenge field, in hexadecimal. If the send has no live challenge, `ends` is nil.
local function describe(phone, send, challenge, ends)
  local delivery = sub(send.value, 13, 13)
  if delivery == 'p' and phone.now - send.time >= SETTLE_MS then delivery = 'u' end
  local sends, now = phone.sends, phone.now
  return ends or unpack_ms(send.value, 7), now + rolling_wait(sends, SEND_RATES, now),
    ends and max(0, ATTEMPTS - byte(challenge, 43)) or 0, rolling_left(sends, SEND_RATES, now), delivery,
    string.format('%02x%02x%02x%02x', byte(send.value, 22, 25)), ends and byte(challenge, 45) or 0, served_by(phone, send)
end
