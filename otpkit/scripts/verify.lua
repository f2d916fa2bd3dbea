-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; [3 the IP address's failures]
-- ARGV  1 now in ms, or ''; 2 operation id; 3 slot; 4 for each active key its id and the digest of the typed code under it
--       [; 5 the rates of the IP address's failures]
-- Returns {'proved', issued, expires, fixed} times in ms; the operation id is the proof's
--         {'wrong', attempts left}, {'none'} no live challenge, {'blocked'},
--         {'limited', now, scope, wait ms [, …description of the live challenge]}

local now = server_now()
local key, counter, op = KEYS[1], KEYS[2], ARGV[2]
local phone = load_phone(key, now)

-- The reply was lost, or the form was sent twice: the same answer again, counted once.
local proof = phone.proofs[op]
if proof and proof.expires > now then return { 'proved', proof.issued, proof.expires, proof.fixed } end
local failure = find(phone.failures, op)
if failure then return { 'wrong', failure.left } end

if KEYS[3] then
  local wait = window_wait(KEYS[3], ARGV[5], now)
  if wait > 0 then return limited(phone, ARGV[3], 'ip', wait) end
end
local function not_proved(answer)
  if KEYS[3] then window_take(KEYS[3], ARGV[5], now) end
  return answer
end

local is_blocked, consecutive = blocked(counter)
if is_blocked then return not_proved({ 'blocked' }) end
local wait = rolling_wait(phone.failures, POLICY.failures, now)
if wait > 0 then return not_proved(limited(phone, ARGV[3], 'failures', wait)) end

-- A guess where no challenge is costs the phone nothing.
local challenge = live_challenge(phone, ARGV[3])
if not challenge then return not_proved({ 'none' }) end

if contains(ARGV[4], challenge.key_id .. challenge.digest) then
  proof = { op = op, issued = now, expires = now + POLICY.proof_ttl, fixed = challenge.fixed, redeemed_by = '' }
  redis.call('HDEL', key, 'c' .. challenge.slot)
  write_proof(key, proof)
  if consecutive > 0 then redis.call('DEL', counter) end
  return { 'proved', proof.issued, proof.expires, proof.fixed }
end

challenge.wrong = challenge.wrong + 1
local left = math.max(0, POLICY.attempts - challenge.wrong)
if left > 0 then
  write_challenge(key, challenge)
else
  redis.call('HDEL', key, 'c' .. challenge.slot)
  phone.challenges[challenge.slot] = nil
end
failure = { op = op, time = now, left = left }
write_failure(key, failure)
table.insert(phone.failures, 1, failure)
tidy(phone)
keep(key, DAY_MS)

local count = redis.call('INCR', counter)
if count >= POLICY.max_consecutive_failures then
  redis.call('PERSIST', counter)
elseif count == 1 or redis.call('PTTL', counter) ~= -1 then
  redis.call('PEXPIRE', counter, CONSECUTIVE_LIFE_MS)
end
return not_proved({ 'wrong', left })
