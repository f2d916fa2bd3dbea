-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; [3 the IP address's failures]
-- ARGV  1 now in ms, or ''; 2 operation id; 3 slot; 4 for each active key the digest of the typed code under it, and its id
--       [; 5 the rates of the IP address's failures; without its key, the ms until another node allows it one more]
-- Returns {'proved', issued, expires, fixed} times in ms; the operation id is the proof's
--         {'wrong', attempts left}, {'none'} no live challenge, {'blocked'},
--         {'limited', now, scope, wait ms [, …description of the live challenge]}

--# include base phone window

local CONSECUTIVE_LIFE_MS = 400 * DAY_MS

local now = server_now()
local key, counter, op, slot, ip = KEYS[1], KEYS[2], ARGV[2], ARGV[3], KEYS[3]
local phone = load_phone(key, now)

-- The reply was lost, or the form was sent twice: the same answer again, counted once.
local proof, failure = phone.proofs[op], find(phone.failures, op)
if proof and proof.ends > now then
  repeated(key, 'p', proof)
  return { 'proved', proof.time, proof.ends, proof.fixed }
end
if failure then
  repeated(key, 'f', failure)
  return { 'wrong', failure.left }
end

local ip_wait = ip and window_wait(ip, ARGV[5], now) or tonumber(ARGV[5] or 0)
local is_blocked, consecutive = blocked(counter)
local wait = rolling_wait(phone.failures, FAILURES, now)
local challenge = live_challenge(phone, slot)

if ip_wait == 0 and not is_blocked and wait == 0 and challenge and contains(ARGV[4], challenge.digest) then
  redis.call('HDEL', key, 'c' .. slot)
  write(key, 'p', { op = op, time = now, ends = now + PROOF_TTL, fixed = challenge.fixed, redeemed_by = '' })
  if consecutive > 0 then redis.call('DEL', counter) end
  return { 'proved', now, now + PROOF_TTL, challenge.fixed }
end

--# include describe tidy

if ip_wait > 0 then return limited(phone, slot, 'ip', ip_wait) end
if ip then window_take(ip, ARGV[5], now) end
if is_blocked then return { 'blocked' } end
if wait > 0 then return limited(phone, slot, 'failures', wait) end
if not challenge then return { 'none' } end -- a guess where no challenge is costs the phone nothing

challenge.wrong = challenge.wrong + 1
failure = { op = op, time = now, left = max(0, ATTEMPTS - challenge.wrong) }
write(key, 'f', failure)
table.insert(phone.failures, 1, failure)
write(key, 'c', challenge)
tidy(phone) -- which takes away a challenge that has no attempts left
keep(key, DAY_MS)

local count = redis.call('INCR', counter)
if count >= MAX_CONSECUTIVE_FAILURES then
  redis.call('PERSIST', counter)
elseif count == 1 or redis.call('PTTL', counter) ~= -1 then
  redis.call('PEXPIRE', counter, CONSECUTIVE_LIFE_MS)
end
return { 'wrong', failure.left }
