-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; [3 the IP address's failures; 4 what remembers this one for a minute]
-- ARGV  1 now in ms, or ''; 2 operation id; 3 slot; 4 for each active key the digest of the typed code under it, and its id;
--       5 until when the phone has a fixed code, in ms, or 0; 6 1 where the typed code is that one, or 0
--       [; 7 the rates of the IP address's failures; without its key, the ms until another node allows it one more; 8 and 9 which
--       rate that is: its limit and its window in ms]
-- Returns {'proved', issued, expires, fixed [, 1]} times in ms; the operation id is the proof's. 1 at the end: repeated
--         {'wrong', attempts left [, 1]}, {'none'} no live challenge, {'blocked'},
--         {'limited', now, scope, wait ms, limit, window ms [, …description of the live challenge]} of the rate that takes longest

--# include base phone

local MEMORY_MS = 60000

local now = server_now()
local key, counter, op, slot, ip = KEYS[1], KEYS[2], ARGV[2], ARGV[3], KEYS[3]
local phone = load_phone(key, now)

-- The reply was lost, or the form was sent twice: the same answer again, counted once.
local proof, failure = field(phone, 'p' .. op), field(phone, 'f' .. op)
if proof and unpack_ms(proof, 7) > now then
  repeated(phone, 'p' .. op)
  return { 'proved', unpack_ms(proof, 1), unpack_ms(proof, 7), byte(proof, 13), 1 }
end
if failure then
  repeated(phone, 'f' .. op)
  return { 'wrong', byte(failure, 7), 1 }
end

local ip_wait, ip_limit, ip_window = tonumber(not ip and ARGV[7] or 0)
local is_charged = ip and redis.call('EXISTS', KEYS[4]) == 1 -- a guess that leaves no trace in the phone, made again
if ip and not is_charged then
  --# include window
  ip_wait, ip_limit, ip_window = window_wait(ip, ARGV[7], now)
end
local is_blocked, consecutive = blocked(counter)
local wait, limit, window = 0
if phone.failures[1] then wait, limit, window = rolling_wait(phone.failures, FAILURES, now) end
local challenge = live_challenge(phone, slot)
-- A fixed challenge lives while its phone has a fixed code, and takes the one that it has now.
local is_fixed = challenge and byte(challenge, 45) == 1
if is_fixed and now >= tonumber(ARGV[5]) then challenge = nil end

if ip_wait == 0 and not is_blocked and wait == 0 and challenge
  and (is_fixed and ARGV[6] == '1' or not is_fixed and contains(ARGV[4], sub(challenge, 23, 42))) then
  local fixed = byte(challenge, 45)
  redis.call('HDEL', key, 'c' .. slot)
  redis.call('HSET', key, 'p' .. op, pack_ms(now) .. pack_ms(now + PROOF_TTL) .. char(fixed))
  if consecutive > 0 then redis.call('DEL', counter) end
  return { 'proved', now, now + PROOF_TTL, fixed }
end

--# include describe tidy window

if ip_wait > 0 then
  if wait > ip_wait then return limited(phone, slot, 'failures', wait, limit, window) end
  return limited(phone, slot, 'ip', ip_wait, ip_limit or tonumber(ARGV[8]), ip_window or tonumber(ARGV[9]))
end
if ip and not is_charged then window_take(ip, ARGV[7], now) end
if ip and (is_blocked or wait > 0 or not challenge) then redis.call('SET', KEYS[4], '', 'PX', MEMORY_MS) end
if is_blocked then return { 'blocked' } end
if wait > 0 then return limited(phone, slot, 'failures', wait, limit, window) end
if not challenge then return { 'none' } end -- a guess where no challenge is costs the phone nothing

local CONSECUTIVE_LIFE_MS = 400 * DAY_MS
local wrong = byte(challenge, 43) + 1
local left = max(0, ATTEMPTS - wrong)
tidy(phone)
redis.call('HSET', key, 'f' .. op, pack_ms(now) .. char(left))
if left == 0 then
  redis.call('HDEL', key, 'c' .. slot)
else
  redis.call('HSET', key, 'c' .. slot, sub(challenge, 1, 42) .. char(wrong) .. sub(challenge, 44))
end
keep(key, DAY_MS)

local count = redis.call('INCR', counter)
if count >= MAX_CONSECUTIVE_FAILURES then
  redis.call('PERSIST', counter)
elseif count == 1 or redis.call('PTTL', counter) ~= -1 then
  redis.call('PEXPIRE', counter, CONSECUTIVE_LIFE_MS)
end
return { 'wrong', left }
