-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; [3 the IP address's failures; 4 what remembers this one for a minute]
-- ARGV  1 now in ms, or ''; 2 operation id; 3 slot; 4 for each active key the digest of the typed code under it, and its id;
--       5 until when the phone has a fixed code, in ms, or 0; 6 1 where the typed code is that one, or 0
--       [; 7 the rates of the IP address's failures; without its key, the ms until another node allows it one more; 8 and 9 which
--       rate that is: its limit and its window in ms]
-- Returns {'proved', issued, expires, fixed} times in ms; the operation id is the proof's
--         {'wrong', attempts left}, {'none'} no live challenge, {'blocked'},
--         {'limited', now, scope, wait ms, limit, window ms [, …description of the live challenge]} of the rate that takes longest

--# include base phone

local MEMORY_MS = 60000

local now = server_now()
local op, slot = ARGV[2], ARGV[3]
local phone = load_phone(now)

-- The reply was lost, or the form was sent twice: the same answer again, counted once.
local proof, failure = field(phone, 'p' .. op), field(phone, 'f' .. op)
if proof and unpack_ms(proof, 7) > now then
  repeated(phone, 'p' .. op)
  return { 'proved', unpack_ms(proof, 1), unpack_ms(proof, 7), byte(proof, 13) }
end
if failure then
  repeated(phone, 'f' .. op)
  return { 'wrong', byte(failure, 7) }
end

local is_blocked, consecutive = blocked()
local wait, limit, window = 0
if phone.failures[1] then wait, limit, window = rolling_wait(phone.failures, FAILURES, now) end
local challenge = live_challenge(phone, slot)
-- A fixed challenge lives while its phone has a fixed code, and takes the one that it has now.
local is_fixed = challenge and byte(challenge, 45) == 1
if is_fixed and now >= tonumber(ARGV[5]) then challenge = nil end

local function is_right()
  if is_fixed then return ARGV[6] == '1' end
  return contains(ARGV[4], sub(challenge, 23, 42))
end

local function refused(scope, its_wait, its_limit, its_window)
  --# include describe
  return limited(phone, slot, scope, its_wait, its_limit, its_window)
end

-- The answer as far as the phone goes. What a guess may cost is written before it is compared: where the server refuses that,
-- nobody learns whether it was right.
local function answer()
  if is_blocked then return { 'blocked' } end
  if wait > 0 then return refused('failures', wait, limit, window) end
  if not challenge then return { 'none' } end -- a guess where no challenge is costs the phone nothing
  redis.call('INCR', KEYS[2])
  local name, spent = 'c' .. slot, string.rep('\0', 42) .. '\255\0\0' -- a used up challenge, in every version and policy
  if is_right() then
    local fixed = byte(challenge, 45)
    -- Together: a proof beside a live challenge would be two grants for one code.
    if REPLICAS > 0 then -- kept: unverify.lua gives it back where too few replicas confirm
      spent = sub(challenge, 1, 42) .. char(128 + byte(challenge, 43)) .. sub(challenge, 44, 45) .. char(min(consecutive, 255)) .. op
    end
    redis.call('HSET', KEYS[1], 'p' .. op, pack_ms(now) .. pack_ms(now + PROOF_TTL) .. char(fixed), name, spent)
    if REPLICAS == 0 then redis.call('HDEL', KEYS[1], name) end
    redis.call('DEL', KEYS[2])
    return { 'proved', now, now + PROOF_TTL, fixed }
  end
  local wrong = byte(challenge, 43) + 1
  local left = max(0, ATTEMPTS - wrong)
  local counted = left > 0 and sub(challenge, 1, 42) .. char(wrong) .. sub(challenge, 44) or spent
  redis.call('HSET', KEYS[1], 'f' .. op, pack_ms(now) .. char(left), name, counted)
  if left == 0 then redis.call('HDEL', KEYS[1], name) end
  --# include tidy
  tidy(phone, name)
  keep(phone, DAY_MS)
  if consecutive + 1 >= MAX_CONSECUTIVE_FAILURES then
    redis.call('PERSIST', KEYS[2])
  elseif consecutive == 0 then
    redis.call('SET', KEYS[2], 1, 'PX', CONSECUTIVE_LIFE_MS)
  else
    local life = redis.call('PTTL', KEYS[2])
    if life ~= -1 and life < CONSECUTIVE_LIFE_MS then redis.call('PEXPIRE', KEYS[2], CONSECUTIVE_LIFE_MS) end
  end
  return { 'wrong', left }
end

if not KEYS[3] then
  local ip_wait = tonumber(ARGV[7] or 0)
  if ip_wait > 0 and ip_wait >= wait then return refused('ip', ip_wait, tonumber(ARGV[8]), tonumber(ARGV[9])) end
  if ip_wait > 0 then return refused('failures', wait, limit, window) end
  return answer()
end
if redis.call('EXISTS', KEYS[4]) == 1 then return answer() end -- a guess that leaves no trace in the phone, made again

--# include window
local ip = window_read(3, ARGV[7], now)
if ip.wait > 0 and ip.wait >= wait then return refused('ip', ip.wait, ip.limit, ip.window) end
if ip.wait > 0 then return refused('failures', wait, limit, window) end
window_take(3, ip)
local reply = answer()
if reply[1] == 'proved' then
  for _, each in ipairs(ip) do
    if each[3] > 0 then write_window(3, each[1], each[2], each[3]) else redis.call('HDEL', KEYS[3], each[1]) end
  end
elseif reply[1] ~= 'wrong' then
  redis.call('SET', KEYS[4], '', 'PX', MEMORY_MS)
end
window_keep(3, ip)
return reply
