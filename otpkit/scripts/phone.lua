-- The state of one phone: one hash, one field per fact, so that one key holds, expires and erases all of it.
--
--   s<op 16>    a send         time 6, ends 6, state 1, slot 8, generation 4 [, idempotency key 8]
--   c<slot 8>   a challenge    nonce 16, digest 16, key id 4, start 6, wrong codes 1, length 1, fixed 1
--   f<op 16>    a wrong code   time 6, attempts left 1
--   p<op 16>    a proof        issued 6, expires 6, fixed 1 [, redeemed by op 16]
--
-- Times are server milliseconds, big-endian. A slot is the keyed hash of purpose and bind, a generation the first bytes of the
-- nonce. A send's state is p(ending), a(ccepted), u(ncertain) or r(ejected, yet counted). A challenge lives as long as the
-- longest of its sends that were not rejected: so undoing a send takes back the life that it brought. No value exceeds
-- 64 bytes, beyond which Redis gives up its compact encoding of a hash.
--
-- POLICY is defined above this text, by the loader: times in milliseconds, rates as {limit, window}.

local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor

local DAY_MS = 86400000
local SETTLE_MS = 30000 -- a send not settled by then is uncertain
local MOST_SENDS, MOST_FAILURES = 32, 64
local CONSECUTIVE_LIFE_MS = 400 * DAY_MS

local function server_now()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME') -- read once: it moves inside a script on some servers
  return time[1] * 1000 + floor(time[2] / 1000)
end

local function pack_ms(ms)
  local high, low = floor(ms / 16777216), ms % 16777216
  return char(floor(high / 65536), floor(high / 256) % 256, high % 256, floor(low / 65536), floor(low / 256) % 256, low % 256)
end

local function unpack_ms(text, at)
  local a, b, c, d, e, f = byte(text, at, at + 5)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function hex(text)
  return (string.gsub(text, '.', function(c) return string.format('%02x', byte(c)) end))
end

-- Whether `list`, items of one length set end to end, holds `item`.
local function contains(list, item)
  for i = 1, #list, #item do
    if sub(list, i, i + #item - 1) == item then return true end
  end
  return false
end

-- Lengthen the life of a key; never shorten it.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

local function write_send(key, send)
  redis.call('HSET', key, 's' .. send.op,
    pack_ms(send.time) .. pack_ms(send.ends) .. send.state .. send.slot .. send.generation .. send.idempotency)
end

local function write_challenge(key, challenge)
  redis.call('HSET', key, 'c' .. challenge.slot, challenge.nonce .. challenge.digest .. challenge.key_id
    .. pack_ms(challenge.start) .. char(challenge.wrong, challenge.length, challenge.fixed))
end

local function write_failure(key, failure)
  redis.call('HSET', key, 'f' .. failure.op, pack_ms(failure.time) .. char(failure.left))
end

local function write_proof(key, proof)
  redis.call('HSET', key, 'p' .. proof.op,
    pack_ms(proof.issued) .. pack_ms(proof.expires) .. char(proof.fixed) .. proof.redeemed_by)
end

-- Each reader takes a field's name and value. A recorded time in the future (a failover to a slower clock) counts as now from
-- here on, and what was to end with it ends as much earlier.
local function read_send(key, name, value, now)
  local send = {
    op = sub(name, 2), time = unpack_ms(value, 1), ends = unpack_ms(value, 7), state = sub(value, 13, 13),
    slot = sub(value, 14, 21), generation = sub(value, 22, 25), idempotency = sub(value, 26),
  }
  if send.time > now then
    send.ends, send.time = send.ends - (send.time - now), now
    write_send(key, send)
  end
  return send
end

local function read_challenge(key, name, value, now)
  local wrong, length, fixed = byte(value, 43, 45)
  local challenge = {
    slot = sub(name, 2), nonce = sub(value, 1, 16), digest = sub(value, 17, 32), key_id = sub(value, 33, 36),
    start = unpack_ms(value, 37), wrong = wrong, length = length, fixed = fixed, generation = sub(value, 1, 4),
  }
  if challenge.start > now then
    challenge.start = now
    write_challenge(key, challenge)
  end
  return challenge
end

local function read_failure(key, name, value, now)
  local failure = { op = sub(name, 2), time = unpack_ms(value, 1), left = byte(value, 7) }
  if failure.time > now then
    failure.time = now
    write_failure(key, failure)
  end
  return failure
end

local function read_proof(key, name, value, now)
  local proof = {
    op = sub(name, 2), issued = unpack_ms(value, 1), expires = unpack_ms(value, 7), fixed = byte(value, 13),
    redeemed_by = sub(value, 14),
  }
  if proof.issued > now then
    proof.expires, proof.issued = proof.expires - (proof.issued - now), now
    write_proof(key, proof)
  end
  return proof
end

local function newest_first(a, b) return a.time > b.time end

-- Read a phone: its challenges by slot, proofs by id, failures by id, sends by id, and both also as lists.
local function load_phone(key, now)
  local phone = { key = key, now = now, sends = {}, failures = {}, challenges = {}, proofs = {} }
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    local kind = byte(name)
    if kind == 115 then
      phone.sends[#phone.sends + 1] = read_send(key, name, value, now)
    elseif kind == 99 then
      local challenge = read_challenge(key, name, value, now)
      phone.challenges[challenge.slot] = challenge
    elseif kind == 102 then
      phone.failures[#phone.failures + 1] = read_failure(key, name, value, now)
    elseif kind == 112 then
      local proof = read_proof(key, name, value, now)
      phone.proofs[proof.op] = proof
    end
  end
  if phone.sends[2] then table.sort(phone.sends, newest_first) end
  if phone.failures[2] then table.sort(phone.failures, newest_first) end
  return phone
end

local function find(list, op)
  for _, item in ipairs(list) do
    if item.op == op then return item end
  end
end

-- When a challenge ends: with the longest of its sends that were not rejected; nil where none is left.
local function challenge_ends(phone, challenge)
  local ends
  for _, send in ipairs(phone.sends) do
    if send.slot == challenge.slot and send.generation == challenge.generation and send.state ~= 'r'
      and (ends == nil or send.ends > ends) then
      ends = send.ends
    end
  end
  return ends
end

local function live_challenge(phone, slot)
  local challenge = phone.challenges[slot]
  if not challenge or challenge.wrong >= POLICY.attempts then return nil end
  local ends = challenge_ends(phone, challenge)
  if not ends or ends <= phone.now then return nil end
  challenge.ends = ends
  return challenge
end

-- How long until all rolling rates allow one more; 0 or less where they do now.
local function rolling_wait(newest, rates, now)
  local wait = 0
  for _, rate in ipairs(rates) do
    local nth = newest[rate[1]]
    if nth and nth.time + rate[2] - now > wait then wait = nth.time + rate[2] - now end
  end
  return wait
end

local function sends_left(phone)
  local longest, sent = POLICY.sends[#POLICY.sends], 0
  for _, send in ipairs(phone.sends) do
    if send.time > phone.now - longest[2] then sent = sent + 1 end
  end
  return math.max(0, longest[1] - sent)
end

local function delivery_of(send, now)
  if send.state == 'p' and now - send.time >= SETTLE_MS then return 'u' end
  return send.state
end

-- What callers learn of a send: {when its challenge ends, when a resend may be, attempts left, sends left, delivery,
-- slot and generation, fixed, send id, send time}; all that is text in hexadecimal or one letter.
local function describe(phone, send, challenge)
  local now = phone.now
  return { challenge and challenge.ends or send.ends, now + rolling_wait(phone.sends, POLICY.sends, now),
    challenge and math.max(0, POLICY.attempts - challenge.wrong) or 0, sends_left(phone), delivery_of(send, now),
    hex(send.slot .. send.generation), challenge and challenge.fixed or 0, hex(send.op), send.time }
end

local function latest_send(phone, slot, generation)
  for _, send in ipairs(phone.sends) do
    if send.slot == slot and (generation == nil or send.generation == generation) and send.state ~= 'r' then return send end
  end
end

local function append(words, values)
  for _, value in ipairs(values) do words[#words + 1] = value end
  return words
end

-- The answer to a call that a limit refuses: {'limited', now, scope, wait ms [, …description of the live challenge]}.
local function limited(phone, slot, scope, wait)
  local words, live = { 'limited', phone.now, scope, wait }, live_challenge(phone, slot)
  if not live then return words end
  return append(words, describe(phone, latest_send(phone, slot, live.generation), live))
end

-- How many consecutive wrong codes; a count that has reached the policy's block never expires.
local function blocked(counter)
  local count = tonumber(redis.call('GET', counter) or 0)
  if count < POLICY.max_consecutive_failures then return false, count end
  redis.call('PERSIST', counter)
  return true, count
end

-- Forget what no rule looks at any more.
local function tidy(phone)
  local now, gone = phone.now, {}
  for i, send in ipairs(phone.sends) do
    if send.ends <= now and (i > MOST_SENDS or send.time <= now - DAY_MS) then gone[#gone + 1] = 's' .. send.op end
  end
  for i, failure in ipairs(phone.failures) do
    if i > MOST_FAILURES or failure.time <= now - DAY_MS then gone[#gone + 1] = 'f' .. failure.op end
  end
  for slot in pairs(phone.challenges) do
    if not live_challenge(phone, slot) then gone[#gone + 1] = 'c' .. slot end
  end
  for op, proof in pairs(phone.proofs) do
    if proof.expires <= now then gone[#gone + 1] = 'p' .. op end
  end
  if gone[1] then redis.call('HDEL', phone.key, unpack(gone)) end
end
