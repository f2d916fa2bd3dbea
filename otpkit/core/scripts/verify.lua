-- Verify a code: consume the challenge or count a failure, in one step.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures; 3 stats_key: see fold.lua, or the phone's [; RANGE_KEY… guard_keys: see
--       reserve.lua; FIRST_LIMIT ip_limit: the IP address's failures; MEMORY_KEY memory_key: it remembers this guess for a minute; DEVICE_KEY device_key: the time up to
--       which the phone's device tokens are void]
-- ARGV  1 now: in ms, or '', then the label: see tally.lua; 2 operation: its id; 3 challenge_field; 4 digests: for each active key the digest of the typed code
--       under it, and the key's id; 5 fixed_ends_ms: the end of the phone's fixed code, or 0; 6 is_fixed_code: 1 if the
--       typed code is that one, or 0 [; 7 device_since: the time of the verification that made the device's token, in ms, or '';
--       [; 8 ip_limit: its rates; without its key, 8… refusal: the ms until another node allows one more, and the limit
--       and window in ms of that rate]
-- Returns, after the operation (see operation.lua), with times in ms:
--         {'proved', issued_ms, expires_ms, fixed [, repeated [, moves]] [, figure]} the operation id is the proof's; fixed is 0 or 1, repeated is 1,
--           or 0 before `moves`: what its sends count on other nodes (see moved.lua)
--         {'wrong', attempts_left [, repeated [, moves [, blocks]]] [, figure]} blocks is 1 if this wrong code blocks the phone for
--           strangers
--         The figure begins with '!' if the caller is to count it. Else it is counted, and names another gateway than the label.
--         {'none'} there is no live challenge
--         {'blocked'}
--         {'limited', now_ms, scope, wait_ms, limit, window_ms [, …described]} the rate with the longest wait, and the live challenge

--# include clock phone operation

local op, challenge_field = ARGV[2], ARGV[3]
local phone = load_phone(now)

-- The reply was lost, or the form was sent twice: return the same answer, counted once.
local proof, failure = field(phone, 'p' .. op), phone.failures[1] and field(phone, 'f' .. op)
if proof and unpack_ms(proof, 7) > now then
  --# include repeated
  repeated(phone, 'p' .. op)
  local apart
  if label ~= '' and byte(proof, 13) == 0 then
    local link = challenge_field
    --# include served
    if KEYS[STATS_KEY] == KEYS[1] or figure ~= label then apart = figure .. 'v' end
  end
  --# if elsewhere
  --# include moved proved_again
  --# end
  return { operation, 'proved', unpack_ms(proof, 1), unpack_ms(proof, 7), byte(proof, 13), 1, apart }
end
if failure then
  --# include repeated
  repeated(phone, 'f' .. op)
  local apart
  if label ~= '' and KEYS[STATS_KEY] == KEYS[1] then
    local link = challenge_field
    --# include served
    apart = figure .. 'w'
  end
  --# if elsewhere
  --# include moved guessed_again
  --# end
  return { operation, 'wrong', byte(failure, 7), 1, apart }
end

local device_valid = (ARGV[7] or '') ~= ''
if device_valid then
  --# include device
  device_valid = is_valid_device(DEVICE_KEY, tonumber(ARGV[7]))
end

--# include blocked
local wait, limit, window = 0
if phone.failures[1] then
  --# include rolling
  wait, limit, window = rolling_wait(phone.failures, device_valid and FAILURES or STRANGER_FAILURES, now)
end
--# include challenge
local challenge, link = live_challenge(phone, challenge_field)
-- A fixed challenge lives while its phone has a fixed code, and accepts the current one.
local is_fixed = challenge and byte(challenge, 45) == 1
if is_fixed and now >= tonumber(ARGV[5]) then challenge = nil end

-- A right code first writes what a wrong one would, by the same commands on the same keys. A server that refuses to count the
-- guess then refuses both, so a refusal never reveals which it was. The code below is flat: a function with so many locals
-- costs a twentieth of a call.
local ip, ip_wait, ip_limit, ip_window = nil, 0
if not ARGV[8] then
  -- No address is known.
elseif ARGV[9] then
  ip_wait, ip_limit, ip_window = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
elseif redis.call('EXISTS', KEYS[MEMORY_KEY]) == 0 then -- If it exists, this is a retry of a guess that the phone's key does not record.
  --# include window
  ip = window_read(FIRST_LIMIT, ARGV[8], now)
  ip_wait, ip_limit, ip_window = ip.wait, ip.limit, ip.window
  if ip_wait == 0 then
    window_consume(FIRST_LIMIT, ip)
    if is_blocked or wait > 0 or not challenge then
      redis.call('SET', KEYS[MEMORY_KEY], '', 'PX', '60000')
      window_keep(FIRST_LIMIT, ip)
    end
  end
end
if ip_wait == 0 and is_blocked then
  --# include refusal
  refusal('lblocked')
  return { operation, 'blocked' }
end
if ip_wait > 0 or wait > 0 then
  --# include rolling describe limited refusal
  refusal(ip_wait >= wait and 'lip' or 'lfailures')
  if ip_wait >= wait then return limited(phone, challenge_field, 'ip', ip_wait, ip_limit, ip_window) end
  return limited(phone, challenge_field, 'failures', wait, limit, window)
end
if not challenge then return { operation, 'none' } end -- A guess without a challenge costs the phone nothing.

local name, apart = 'c' .. challenge_field, nil -- apart: a figure for the caller.
local counts = label ~= '' and not is_fixed
local counts_here = counts and KEYS[STATS_KEY] ~= KEYS[1]
--# include served
--# guard counted
-- It replaces a challenge: it has more wrong codes than any policy allows.
local spent = '\0\0\0\0\0\0used up, by a right code or failures\255\0\0'
local is_right = is_fixed and ARGV[6] == '1'
if not is_fixed then
  local list, item = ARGV[4], sub(challenge, 23, 42)
  --# include contains
  is_right = is_contained
end
if is_right then
  local fixed = byte(challenge, 45)
  redis.call('SET', KEYS[2], consecutive > 0 and consecutive or '0', 'XX', 'KEEPTTL') -- Write the current value, or nothing.
  if REPLICAS > 0 then -- Keep it: unverify.lua restores it if too few replicas confirm.
    spent = sub(challenge, 1, 42) .. char(128 + byte(challenge, 43)) .. sub(challenge, 44, 45) .. char(min(consecutive, 255)) .. op
  end
  -- Write both at once: a proof beside a live challenge would be two grants for one code.
  local ends = now + PROOF_TTL
  -- Both times are encoded as in pack.lua. Defining and calling its function would cost a hundredth of a call.
  local times = char(now / 1099511627776, now / 4294967296 % 256, now / 16777216 % 256, now / 65536 % 256, now / 256 % 256, now % 256,
    ends / 1099511627776, ends / 4294967296 % 256, ends / 16777216 % 256, ends / 65536 % 256, ends / 256 % 256, ends % 256, fixed)
  redis.call('HSET', KEYS[1], 'p' .. op, times, name, spent)
  --# if plain
  if REPLICAS == 0 then redis.call('HDEL', KEYS[1], name) end
  --# end
  if counts and (not counts_here or figure ~= label) then apart = figure .. 'v' end
  --# guard verified
  if consecutive > 0 then redis.call('DEL', KEYS[2]) end
  if ip then
    for _, each in ipairs(ip) do
      if each[3] > 0 then
        redis.call('HSET', KEYS[FIRST_LIMIT], each[1], string.format('%.0f %d', each[2], each[3]))
      else
        redis.call('HDEL', KEYS[FIRST_LIMIT], each[1])
      end
    end
  end
  if counts_here then
    local what = 'v'
    --# include tally
  end
  return { operation, 'proved', now, ends, fixed, apart }
end

--# include keep prune pack
local wrong = byte(challenge, 43) + 1
local left = max(0, ATTEMPTS - wrong)
local life = consecutive > 0 and redis.call('PTTL', KEYS[2]) or 0
if consecutive + 1 >= STRANGER_CONSECUTIVE or life == -1 then
  redis.call('SET', KEYS[2], consecutive + 1) -- A block never expires, nor does that of a stricter policy.
else
  local longest = life > CONSECUTIVE_LIFE_MS and life or '34560000000' -- CONSECUTIVE_LIFE_MS as text.
  redis.call('SET', KEYS[2], consecutive == 0 and '1' or consecutive + 1, 'PX', longest)
end
local counted = left > 0 and sub(challenge, 1, 42) .. char(wrong) .. sub(challenge, 44) or spent
redis.call('HSET', KEYS[1], 'f' .. op, pack_ms(now) .. char(left), name, counted)
if left == 0 then redis.call('HDEL', KEYS[1], name) end
prune(phone, name)
keep(phone, '86400000')
if ip and redis.call('PTTL', KEYS[FIRST_LIMIT]) < ip.longest then redis.call('PEXPIRE', KEYS[FIRST_LIMIT], ip.life) end
local blocks = consecutive + 1 == STRANGER_CONSECUTIVE
if counts and not counts_here then apart = figure .. 'w' end
--# if counting
--# guard guessed
--# end
if counts_here then
  local what = 'w'
  --# include tally
end
if blocks then return { operation, 'wrong', left, 0, '', 1, apart } end
return { operation, 'wrong', left, apart }
