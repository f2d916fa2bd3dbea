-- The state of one phone: one hash, one field per fact, so that one key holds, expires and erases all of it.
--
--   s<op 16>    a send         time 6, ends 6, state 1, link 12 [, idempotency key 8]
--   c<slot 8>   a challenge    nonce 16, digest 16 and key id 4, start 6, wrong codes 1, length 1, fixed 1
--   f<op 16>    a wrong code   time 6, attempts left 1
--   p<op 16>    a proof        issued 6, expires 6, fixed 1 [, redeemed by op 16]
--
-- Times are server milliseconds, big-endian. A slot is the keyed hash of purpose and bind; a link ties a send to its
-- challenge: the slot and the first 4 bytes of the nonce. A send's state is p(ending), a(ccepted), u(ncertain) or r(ejected, yet counted). A challenge lives as long as the
-- longest of its sends that were not rejected: so undoing a send takes back the life that it brought. No value exceeds
-- 64 bytes, beyond which Redis gives up its compact encoding of a hash.

local function pack_ms(ms)
  local high, low = floor(ms / 16777216), ms % 16777216
  return char(floor(high / 65536), floor(high / 256) % 256, high % 256, floor(low / 65536), floor(low / 256) % 256, low % 256)
end

local function unpack_ms(text, at)
  local a, b, c, d, e, f = byte(text, at, at + 5)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

-- Write a send, a challenge, a wrong code or a proof.
local function write(key, kind, item)
  local name, value
  if kind == 's' then
    name = item.op
    value = pack_ms(item.time) .. pack_ms(item.ends) .. item.state .. item.link .. item.idempotency
  elseif kind == 'c' then
    name = item.slot
    value = item.nonce .. item.digest .. pack_ms(item.time) .. char(item.wrong, item.length, item.fixed)
  elseif kind == 'f' then
    name, value = item.op, pack_ms(item.time) .. char(item.left)
  else
    name, value = item.op, pack_ms(item.time) .. pack_ms(item.ends) .. char(item.fixed) .. item.redeemed_by
  end
  redis.call('HSET', key, kind .. name, value)
end

-- What was written before is written again where replicas confirm it: WAIT waits for the latest write of its connection, and on
-- another one than the first there would be none.
local function repeated(key, kind, item)
  if REPLICAS > 0 then write(key, kind, item) end
end

-- A recorded time in the future (a failover to a slower clock) counts as now from here on, and what was to end with it ends as
-- much earlier.
local function rebase(key, kind, item, now)
  if item.ends then item.ends = item.ends - (item.time - now) end
  item.time = now
  write(key, kind, item)
end

local function newest_first(a, b) return a.time > b.time end

-- Read a phone: sends and failures as lists, the newest first; challenges by slot; proofs by id.
local function load_phone(key, now)
  local sends, failures, challenges, proofs = {}, {}, {}, {}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local value, kind, item = flat[i + 1], sub(flat[i], 1, 1), nil
    if kind == 's' then
      item = { op = sub(flat[i], 2), time = unpack_ms(value, 1), ends = unpack_ms(value, 7), state = sub(value, 13, 13),
        link = sub(value, 14, 25), idempotency = sub(value, 26) }
      sends[#sends + 1] = item
    elseif kind == 'c' then
      local wrong, length, fixed = byte(value, 43, 45)
      local slot = sub(flat[i], 2)
      item = { slot = slot, link = slot .. sub(value, 1, 4), nonce = sub(value, 1, 16), digest = sub(value, 17, 36),
        time = unpack_ms(value, 37), wrong = wrong, length = length, fixed = fixed }
      challenges[item.slot] = item
    elseif kind == 'f' then
      item = { op = sub(flat[i], 2), time = unpack_ms(value, 1), left = byte(value, 7) }
      failures[#failures + 1] = item
    else
      item = { op = sub(flat[i], 2), time = unpack_ms(value, 1), ends = unpack_ms(value, 7), fixed = byte(value, 13),
        redeemed_by = sub(value, 14) }
      proofs[item.op] = item
    end
    if item.time > now then rebase(key, kind, item, now) end
  end
  if sends[2] then table.sort(sends, newest_first) end
  if failures[2] then table.sort(failures, newest_first) end
  return { key = key, now = now, sends = sends, failures = failures, challenges = challenges, proofs = proofs }
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
    if send.link == challenge.link and send.state ~= 'r' and (ends == nil or send.ends > ends) then ends = send.ends end
  end
  return ends
end

local function live_challenge(phone, slot)
  local challenge = phone.challenges[slot]
  if not challenge or challenge.wrong >= ATTEMPTS then return nil end
  local ends = challenge_ends(phone, challenge)
  if not ends or ends <= phone.now then return nil end
  challenge.ends = ends
  return challenge
end

-- How long until all rolling rates allow one more; 0 where they do now.
local function rolling_wait(newest, rates, now)
  local wait = 0
  for _, rate in ipairs(rates) do
    local nth = newest[rate[1]]
    if nth and nth.time + rate[2] - now > wait then wait = nth.time + rate[2] - now end
  end
  return wait
end

-- Whether the phone is blocked, and how many consecutive wrong codes there were. A reached block never expires.
local function blocked(counter)
  local count = tonumber(redis.call('GET', counter) or 0)
  if count < MAX_CONSECUTIVE_FAILURES then return false, count end
  redis.call('PERSIST', counter)
  return true, count
end

-- Whether `list`, items of one length set end to end, holds `item`.
local function contains(list, item)
  for i = 1, #list, #item do
    if sub(list, i, i + #item - 1) == item then return true end
  end
  return false
end
