-- Reserve a send: check every limit, record the send, and store the challenge or renew its life.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; 3… one a wider limit
-- ARGV  1 now in ms, or '' for the server's clock; 2 operation id; 3 slot; 4 nonce and 5 digest with key id of a fresh code;
--       6 code length; 7 fixed (0 or 1); 8 idempotency key or ''; 9 the ids of all keys this host has;
--       10… for each wider limit its scope and its rates; without its key, the scope of one that refused on another node and the ms
--       until it allows one more
-- Returns {'reserved', now, nonce, key id, …description} hand over the code of that nonce; both in hexadecimal, and empty for the
--           fresh code's own
--         {'replayed', now, …description} an earlier send under the same idempotency key
--         {'limited', now, scope, wait ms [, …description of the live challenge]}
--         {'blocked', now}

--# include base phone describe tidy window

local FRESH_CODE_MS = 60000 -- with less of its whole life left, a code is not worth another message

local now = server_now()
local key, op, slot, idempotency = KEYS[1], ARGV[2], ARGV[3], ARGV[8]
local length, fixed = tonumber(ARGV[6]), tonumber(ARGV[7])
local phone = load_phone(key, now)
local live = live_challenge(phone, slot)

local function key_id(challenge) return sub(challenge.digest, 17) end

local function reserved(send, challenge)
  if challenge.nonce == ARGV[4] then return { 'reserved', now, '', '', describe(phone, send, challenge) } end
  return { 'reserved', now, hex(challenge.nonce), hex(key_id(challenge)), describe(phone, send, challenge) }
end

-- The reply was lost and this is the same call again: it has reserved already.
local own = find(phone.sends, op)
if own and live and live.link == own.link then
  repeated(key, 's', own)
  return reserved(own, live)
end

if idempotency ~= '' then
  for _, send in ipairs(phone.sends) do
    if send.idempotency == idempotency and send.state ~= 'r' then
      repeated(key, 's', send)
      return { 'replayed', now, describe(phone, send, live and live.link == send.link and live or nil) }
    end
  end
end

if blocked(KEYS[2]) then return { 'blocked', now } end

local scope, wait = 'failures', rolling_wait(phone.failures, FAILURES, now)
local function limit(name, its_wait)
  if its_wait > wait then scope, wait = name, its_wait end
end
limit('phone', rolling_wait(phone.sends, SENDS, now))
for i = 3, #KEYS do limit(ARGV[2 * i + 4], window_wait(KEYS[i], ARGV[2 * i + 5], now)) end
if not KEYS[3] and ARGV[10] then limit(ARGV[10], tonumber(ARGV[11])) end
if wait > 0 then return limited(phone, slot, scope, wait) end

-- The same code again, so that a late first message still works; a fresh one where that can't be or is not worth it.
local challenge = live
if not (live and live.length == length and live.fixed == fixed and live.time + MAX_AGE - now >= FRESH_CODE_MS
    and contains(ARGV[9], key_id(live))) then
  challenge = { slot = slot, link = slot .. sub(ARGV[4], 1, 4), nonce = ARGV[4], digest = ARGV[5], time = now, wrong = 0,
    length = length, fixed = fixed }
  write(key, 'c', challenge)
  phone.challenges[slot] = challenge
end
local send = { op = op, time = now, ends = min(now + TTL, challenge.time + MAX_AGE), state = 'p',
  link = challenge.link, idempotency = idempotency }
write(key, 's', send)
table.insert(phone.sends, 1, send)
challenge.ends = challenge_ends(phone, challenge)
tidy(phone)
keep(key, DAY_MS + SETTLE_MS)
for i = 3, #KEYS do window_take(KEYS[i], ARGV[2 * i + 5], now) end
return reserved(send, challenge)
