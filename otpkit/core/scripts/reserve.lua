-- Reserve a send: check every limit, record the send, and store the challenge or renew its life.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures; 3 stats_key: see fold.lua, or the phone's [; RANGE_KEY… guard_keys: range,
--       region [, all regions, if several are served] [, address, network]; MONEY_KEY money_key; FIRST_LIMIT… limits: one a wider limit; DEVICE_KEY device_key: the
--       time up to which the phone's device tokens are void; ANSWER_KEY answer_key: the captcha's answer; see places.py]
-- ARGV  1 now: in ms, or '' for the server's clock, then the label: see tally.lua; 2 operation: its id; 3 challenge_field; 4 fresh: a fresh challenge in phone.lua's
--       format, without its time; 5 idempotency: a key, or ''; 6 known_keys: the ids of all keys this host has [;
--       7 guard: see judge.lua, or ''; 8 money: '', or for money_key 1 or 0 for a privileged message, and its budgets (see
--       charge.lua), or without its key the place of the budget that refused on another node, its reason, and the ms until it
--       can afford the message; 9 device_since: the time of the verification that made the device's token, in ms, or '';
--       10 captcha: the ms for which a used answer is remembered, or ''
--       [; 11… limits: the scope and the rates of each; without their keys, 11… refusal: the scope of one that refused on another
--       node, the ms until it allows one more, and the limit and window in ms of that rate]
-- Returns, after the operation (see operation.lua):
--         {'reserved', now_ms, nonce, key_id, before, device, judged, …described [, alerts]} send the code of that nonce; both are
--           hexadecimal, and empty for the fresh code; `before` is the last gateway of the same code, that send's state and time
--           in ms, or ''; `device` is 1 if the device's token is valid, else 0; `judged` is what the guard found, see judge.lua;
--           with budgets, `alerts` are those that are reached now (see charge.lua)
--         {'replayed', now_ms, send, …described} an earlier send under the same idempotency key, or this same send, settled long
--           ago; `send` is its id in hexadecimal
--         {'limited', now_ms, scope, wait_ms, limit, window_ms [, …described]} the rate with the longest wait, and the live challenge
--         {'unaffordable', now_ms, budget, reason, wait_ms [, …described]} the budget with the longest wait, and the live challenge
--         {'misdated', now_ms} the bounds of a budget's windows don't contain that time
--         {'blocked'}
--         {'refused', now_ms, scope, wait_ms, judged [, …described]} the guard refuses, and the live challenge
--         {'captcha', now_ms, judged, is_used} the guard asks for a captcha; is_used is 1 if the answer was used before, or 0

--# include clock phone operation challenge rolling

local device_valid = (ARGV[9] or '') ~= ''
if device_valid then
  --# include device
  device_valid = is_valid_device(DEVICE_KEY, tonumber(ARGV[9]))
end

--# include describe

local FRESH_CODE_MS = 60000 -- A code with less of its maximum life left is not worth another message.

local op, challenge_field, fresh, idempotency = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local phone = load_phone(now)
local challenge, link, ends = live_challenge(phone, challenge_field)
local judged, counted = 0, nil -- What the guard found, and what it counts the send in: see judge.lua and phone.lua.

-- Return the last served send of the same code, so that the next gateway can be chosen.
local function before(send)
  local sends = phone.sends
  for i = 1, #sends do
    local each = sends[i]
    local served = each.name ~= send.name and sub(each.value, 14, 25) == link and served_by(phone, each)
    if served and served ~= '' then
      return string.format('%s %s %.0f', string.match(served, '^%S+'), sub(each.value, 13, 13), each.time)
    end
  end
  return ''
end

local function reserved(send, marks)
  local nonce, key_id = '', ''
  if sub(challenge, 7, 22) ~= sub(fresh, 1, 16) then nonce, key_id = hex(sub(challenge, 7, 22)), hex(sub(challenge, 39, 42)) end
  local reply = { operation, 'reserved', now, nonce, key_id, before(send), device_valid and 1 or 0, judged,
    describe(phone, send, challenge, ends) }
  --# if money
  reply[#reply + 1] = marks or sub(field(phone, 'm' .. op) or '', 7)
  --# end
  return reply
end

local own
for i, send in ipairs(phone.sends) do
  local its_link = sub(send.value, 14, 25)
  -- The reply was lost: this is a retry of a call that has already reserved.
  if send.name == 's' .. op then
    if its_link == link then
      --# include repeated
      repeated(phone, send.name)
      --# guard judged
      return reserved(send)
    end
    -- Settled long ago: the request was stuck in a hanging server's queue, and no caller waits for the reply.
    if byte(send.value, 13) ~= 112 then return { operation, 'replayed', now, hex(sub(send.name, 2)), describe(phone, send, challenge) } end
    own = i
  elseif idempotency ~= '' and sub(send.value, 26, 33) == idempotency and byte(send.value, 13) ~= 114 then
    --# include repeated
    repeated(phone, send.name)
    return { operation, 'replayed', now, hex(sub(send.name, 2)), describe(phone, send, challenge, its_link == link and ends or nil) }
  end
end

-- Its challenge was used or revoked meanwhile. It starts again, and the wider limits are already charged.
if own then table.remove(phone.sends, own) end

--# include blocked
if is_blocked then
  --# include refusal
  refusal('lblocked')
  return { operation, 'blocked' }
end

local scope, wait, limit, window = 'failures', 0
if phone.failures[1] then wait, limit, window = rolling_wait(phone.failures, device_valid and FAILURES or STRANGER_FAILURES, now) end
local function consider(its_scope, its_wait, its_limit, its_window)
  if its_wait > wait then scope, wait, limit, window = its_scope, its_wait, its_limit, its_window end
end
if phone.sends[1] then consider('phone', rolling_wait(phone.sends, SEND_RATES, now)) end
local charge_limits
if own then
  -- Nothing has to be checked or charged.
elseif KEYS[FIRST_LIMIT] and KEYS[FIRST_LIMIT] ~= KEYS[1] then
  --# include window
  local limits, last_limit = {}, FIRST_LIMIT + (#ARGV - 12) / 2
  for i = FIRST_LIMIT, last_limit do
    local place = 11 + 2 * (i - FIRST_LIMIT)
    limits[i] = window_read(i, ARGV[place + 1], now)
    consider(ARGV[place], limits[i].wait, limits[i].limit, limits[i].window)
  end
  charge_limits = function(step) -- One function for both steps: making one takes time.
    for i = FIRST_LIMIT, last_limit do
      if step == 'consume' then window_consume(i, limits[i]) else window_keep(i, limits[i]) end
    end
  end
elseif ARGV[11] then
  consider(ARGV[11], tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]))
end
if wait > 0 then
  --# include limited refusal
  refusal('l' .. scope)
  return limited(phone, challenge_field, scope, wait, limit, window)
end
--# if money
--# include money charge
local marks, bill = ''
if not own and (ARGV[8] or '') ~= '' then
  local place, reason, its_wait
  if KEYS[MONEY_KEY] and KEYS[MONEY_KEY] ~= KEYS[1] then
    -- A privileged message may spend what a budget keeps.
    bill = money_read(MONEY_KEY, sub(ARGV[8], 2), now, device_valid or sub(ARGV[8], 1, 1) == '1')
    if bill.misdated then return { operation, 'misdated', now } end
    if bill.wait > 0 then
      --# include unaffordable
      money_refuse(MONEY_KEY, bill)
      place, reason, its_wait = bill.place, bill.reason, bill.wait
    end
  else
    place, reason, its_wait = string.match(ARGV[8], '^(%d+) (%a+) (%d+)$')
  end
  if place then
    place, its_wait = tonumber(place), tonumber(its_wait)
    --# include refusal
    refusal('lbudget')
    if not challenge then return { operation, 'unaffordable', now, place, reason, its_wait } end
    return { operation, 'unaffordable', now, place, reason, its_wait, describe(phone, latest_send(phone, link), challenge, ends) }
  end
end
--# end
--# guard judge
--# if money
if bill then marks = money_charge(MONEY_KEY, bill) end
--# end
if charge_limits then charge_limits('consume') end -- No check below refuses.

--# include pack keep
-- Send the same code again, so that a late first message still works. Use a fresh code if that is not possible or useful.
local resend = challenge and sub(challenge, 44, 45) == sub(fresh, 38) -- The length and the fixed flag must match.
  and unpack_ms(challenge, 1) + MAX_AGE - now >= FRESH_CODE_MS
if resend then
  local list, item = ARGV[6], sub(challenge, 39, 42)
  --# include contains
  resend = is_contained
end
local packed_now = pack_ms(now)
local start = resend and unpack_ms(challenge, 1) or now
local its_end = min(now + TTL, start + MAX_AGE)
if resend then
  ends = max(ends, its_end)
else
  challenge = packed_now .. fresh
  link, ends = challenge_field .. sub(fresh, 1, 4), its_end
end
local send = { name = 's' .. op, value = packed_now .. pack_ms(its_end) .. 'p' .. link .. idempotency, time = now }
--# guard count
local charged -- What one command writes with the send.
--# if money
if bill then charged = packed_now .. sub(marks, 1, 58) end
--# end
local name = 'c' .. challenge_field
if counted and charged then
  redis.call('HSET', KEYS[1], name, challenge, send.name, send.value, 'u' .. op, counted, 'm' .. op, charged)
elseif counted then
  redis.call('HSET', KEYS[1], name, challenge, send.name, send.value, 'u' .. op, counted)
elseif charged then
  redis.call('HSET', KEYS[1], name, challenge, send.name, send.value, 'm' .. op, charged)
else
  redis.call('HSET', KEYS[1], name, challenge, send.name, send.value)
end
if phone.fields[1] then
  --# include prune
  prune(phone, name)
end
if charge_limits then charge_limits('keep') end
--# if money
if bill then money_keep(MONEY_KEY, bill) end
--# end
keep(phone, '86430000') -- DAY_MS + SETTLE_MS: it outlasts the settlement by a day.
--# if guard
if mode == 111 and judged % 128 > 0 and KEYS[STATS_KEY] ~= KEYS[1] then
  local figure, what = sub(label, 1, 4) .. '. ', 'gobserved'
  --# include tally
end
--# end
table.insert(phone.sends, 1, send)
--# if money
if not own then return reserved(send, marks) end
--# end
return reserved(send)
