-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 the phone; 2 its consecutive-failure counter; [3 the IP address's failures; 4 what remembers this one for a minute]
-- ARGV  1 now in ms, or ''; 2 operation id; 3 slot; 4 for each active key the digest of the typed code under it, and its id;
--       5 until when the phone has a fixed code, in ms, or 0; 6 1 where the typed code is that one, or 0
--       [; 7 the rates of the IP address's failures; without its key, the ms until another node allows it one more; 8 and 9 which
--       rate that is: its limit and its window in ms]
-- Returns, behind the operation as operation.lua has it:
--         {'proved', issued, expires, fixed [, 1]} times in ms; the operation id is the proof's. 1 at the end: repeated
--         {'wrong', attempts left [, 1]}, {'none'} no live challenge, {'blocked'},
--         {'limited', now, scope, wait ms, limit, window ms [, …description of the live challenge]} of the rate that takes longest

--# include base phone operation

local MEMORY_MS = 60000

local op, slot = ARGV[2], ARGV[3]
local phone = load_phone(now)

-- The reply was lost, or the form was sent twice: the same answer again, counted once.
local proof, failure = field(phone, 'p' .. op), field(phone, 'f' .. op)
if proof and unpack_ms(proof, 7) > now then
  repeated(phone, 'p' .. op)
  return { operation, 'proved', unpack_ms(proof, 1), unpack_ms(proof, 7), byte(proof, 13), 1 }
end
if failure then
  repeated(phone, 'f' .. op)
  return { operation, 'wrong', byte(failure, 7), 1 }
end

local is_blocked, consecutive = blocked()
local wait, limit, window = 0
if phone.failures[1] then wait, limit, window = rolling_wait(phone.failures, FAILURES, now) end
local challenge = live_challenge(phone, slot)
-- A fixed challenge lives while its phone has a fixed code, and takes the one that it has now.
local is_fixed = challenge and byte(challenge, 45) == 1
if is_fixed and now >= tonumber(ARGV[5]) then challenge = nil end

-- A right code writes first what a wrong one would, by the same commands on the same keys: a server that refuses to count the
-- guess refuses both, and nobody learns which it was. What follows is flat: a function that uses so many locals costs a twentieth
-- of a call.
local ip, ip_wait, ip_limit, ip_window = nil, 0
if not KEYS[3] then
  if ARGV[7] then ip_wait, ip_limit, ip_window = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]) end
elseif redis.call('EXISTS', KEYS[4]) == 0 then -- else a guess that leaves no trace in the phone, made again
  --# include window
  ip = window_read(3, ARGV[7], now)
  ip_wait, ip_limit, ip_window = ip.wait, ip.limit, ip.window
  if ip_wait == 0 then
    window_take(3, ip)
    if is_blocked or wait > 0 or not challenge then
      redis.call('SET', KEYS[4], '', 'PX', MEMORY_MS)
      window_keep(3, ip)
    end
  end
end
if ip_wait == 0 and is_blocked then return { operation, 'blocked' } end
if ip_wait > 0 or wait > 0 then
  --# include describe limited
  if ip_wait >= wait then return limited(phone, slot, 'ip', ip_wait, ip_limit, ip_window) end
  return limited(phone, slot, 'failures', wait, limit, window)
end
if not challenge then return { operation, 'none' } end -- a guess where no challenge is costs the phone nothing

local name = 'c' .. slot
-- In place of a challenge: more wrong codes than any policy allows.
local spent = '\0\0\0\0\0\0used up, by a right code or failures\255\0\0'
if is_fixed and ARGV[6] == '1' or not is_fixed and contains(ARGV[4], sub(challenge, 23, 42)) then
  local fixed = byte(challenge, 45)
  redis.call('SET', KEYS[2], consecutive, 'XX', 'KEEPTTL') -- as it is, or nothing
  if REPLICAS > 0 then -- kept: unverify.lua gives it back where too few replicas confirm
    spent = sub(challenge, 1, 42) .. char(128 + byte(challenge, 43)) .. sub(challenge, 44, 45) .. char(min(consecutive, 255)) .. op
  end
  -- Together: a proof beside a live challenge would be two grants for one code.
  redis.call('HSET', KEYS[1], 'p' .. op, pack_ms(now) .. pack_ms(now + PROOF_TTL) .. char(fixed), name, spent)
  if REPLICAS == 0 then redis.call('HDEL', KEYS[1], name) end
  if consecutive > 0 then redis.call('DEL', KEYS[2]) end
  if ip then
    for _, each in ipairs(ip) do
      if each[3] > 0 then
        redis.call('HSET', KEYS[3], each[1], string.format('%.0f %d', each[2], each[3]))
      else
        redis.call('HDEL', KEYS[3], each[1])
      end
    end
  end
  return { operation, 'proved', now, now + PROOF_TTL, fixed }
end

--# include tidy
local wrong = byte(challenge, 43) + 1
local left = max(0, ATTEMPTS - wrong)
local life = consecutive > 0 and redis.call('PTTL', KEYS[2]) or 0
if consecutive + 1 >= MAX_CONSECUTIVE_FAILURES or life == -1 then
  redis.call('SET', KEYS[2], consecutive + 1) -- a reached block never expires, nor one that a stricter policy reached
else
  redis.call('SET', KEYS[2], consecutive + 1, 'PX', max(life, CONSECUTIVE_LIFE_MS))
end
local counted = left > 0 and sub(challenge, 1, 42) .. char(wrong) .. sub(challenge, 44) or spent
redis.call('HSET', KEYS[1], 'f' .. op, pack_ms(now) .. char(left), name, counted)
if left == 0 then redis.call('HDEL', KEYS[1], name) end
tidy(phone, name)
keep(phone, DAY_MS)
if ip and redis.call('PTTL', KEYS[3]) < ip.longest then redis.call('PEXPIRE', KEYS[3], ip.longest) end
return { operation, 'wrong', left }
