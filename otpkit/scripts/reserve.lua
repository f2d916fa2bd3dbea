-- Reserve a send: check every limit, record the send, and store the challenge or renew its life.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; 3… one a wider limit
-- ARGV  1 now in ms, or '' for the server's clock; 2 operation id; 3 slot; 4 nonce, 5 digest and 6 key id of a fresh code;
--       7 code length; 8 fixed (0 or 1); 9 idempotency key or ''; 10 the ids of all keys this host has;
--       11… for each wider limit its scope and its rates
-- Returns {'reserved', now, nonce, key id, …description} nonce and key id in hexadecimal: hand over the code of that nonce
--         {'replayed', now, …description} an earlier send under the same idempotency key
--         {'limited', now, scope, wait ms [, …description of the live challenge]}
--         {'blocked', now}

local FRESH_CODE_MS = 60000 -- with less of its whole life left, a code is not worth another message

local now = server_now()
local key, op, slot, idempotency = KEYS[1], ARGV[2], ARGV[3], ARGV[9]
local phone = load_phone(key, now)
local live = live_challenge(phone, slot)

-- The reply was lost and this is the same call again: it has reserved already.
local own = find(phone.sends, op)
if own and live and live.generation == own.generation then
  return append({ 'reserved', now, hex(live.nonce), hex(live.key_id) }, describe(phone, own, live))
end

if idempotency ~= '' then
  for _, send in ipairs(phone.sends) do
    if send.idempotency == idempotency and send.state ~= 'r' then
      local same = live and live.generation == send.generation and live or nil
      return append({ 'replayed', now }, describe(phone, send, same))
    end
  end
end

if blocked(KEYS[2]) then return { 'blocked', now } end

local scope, wait = 'failures', rolling_wait(phone.failures, POLICY.failures, now)
local function limit(name, its_wait)
  if its_wait > wait then scope, wait = name, its_wait end
end
limit('phone', rolling_wait(phone.sends, POLICY.sends, now))
for i = 3, #KEYS do limit(ARGV[2 * i + 5], window_wait(KEYS[i], ARGV[2 * i + 6], now)) end
if wait > 0 then return limited(phone, slot, scope, wait) end

-- The same code again, so that a late first message still works; a fresh one where that can't be or is not worth it.
local challenge = live
if not (live and live.length == tonumber(ARGV[7]) and live.fixed == tonumber(ARGV[8])
    and live.start + POLICY.max_age - now >= FRESH_CODE_MS and contains(ARGV[10], live.key_id)) then
  challenge = { slot = slot, nonce = ARGV[4], digest = ARGV[5], key_id = ARGV[6], start = now, wrong = 0,
    length = tonumber(ARGV[7]), fixed = tonumber(ARGV[8]), generation = sub(ARGV[4], 1, 4) }
  write_challenge(key, challenge)
  phone.challenges[slot] = challenge
end
local send = { op = op, time = now, ends = math.min(now + POLICY.ttl, challenge.start + POLICY.max_age), state = 'p',
  slot = slot, generation = challenge.generation, idempotency = idempotency }
write_send(key, send)
table.insert(phone.sends, 1, send)
challenge.ends = challenge_ends(phone, challenge)
tidy(phone)
keep(key, DAY_MS)
for i = 3, #KEYS do window_take(KEYS[i], ARGV[2 * i + 6], now) end
return append({ 'reserved', now, hex(challenge.nonce), hex(challenge.key_id) }, describe(phone, send, challenge))
