-- What callers learn of a send and its challenge.

local SETTLE_MS = 30000 -- a send not settled by then is uncertain

local function hex(text)
  return string.format(string.rep('%02x', #text), byte(text, 1, #text))
end

-- What the longest window still allows.
local function sends_left(phone)
  local longest, sent = SENDS[#SENDS], 0
  for _, send in ipairs(phone.sends) do
    if send.time > phone.now - longest[2] then sent = sent + 1 end
  end
  return max(0, longest[1] - sent)
end

local function resend_at(phone)
  return phone.now + rolling_wait(phone.sends, SENDS, phone.now)
end

-- The latest send of a slot or of a link, which starts with the slot.
local function latest_send(phone, start)
  for _, send in ipairs(phone.sends) do
    if sub(send.link, 1, #start) == start and send.state ~= 'r' then return send end
  end
end

-- Return a description, to end an answer with: when the challenge ends, when a resend may be, attempts left, sends left,
-- delivery, what the link adds to the slot, fixed; times in ms, text in hexadecimal, delivery a letter as in a send's state.
local function describe(phone, send, challenge)
  local delivery = send.state
  if delivery == 'p' and phone.now - send.time >= SETTLE_MS then delivery = 'u' end
  return challenge and challenge.ends or send.ends, resend_at(phone),
    challenge and max(0, ATTEMPTS - challenge.wrong) or 0, sends_left(phone), delivery,
    hex(sub(send.link, 9)), challenge and challenge.fixed or 0
end

-- The answer to a call that a limit refuses: {'limited', now, scope, wait ms [, …description of the live challenge]}.
local function limited(phone, slot, scope, wait)
  local live = live_challenge(phone, slot)
  if not live then return { 'limited', phone.now, scope, wait } end
  return { 'limited', phone.now, scope, wait, describe(phone, latest_send(phone, live.link), live) }
end
