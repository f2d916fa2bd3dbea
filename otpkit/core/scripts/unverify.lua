-- Take back a verification that too few replicas confirmed: remove its proof, so that the challenge can be tried again.
--
-- KEYS  1 phone_key; 2 counter_key: its consecutive failures; 3 stats_key: see fold.lua, or the phone's [; RANGE_KEY… guard_keys: see reserve.lua]
-- ARGV  1 now: in ms, or '', then the label: see tally.lua; 2 operation: the verification's id; 3 challenge_field
-- Returns 1 if no proof is left, removed now or never made; 0 if its proof stays

--# include clock phone

local CONSECUTIVE_LIFE_MS = 34560000000 -- 400 days.

local phone = load_phone(now)
local proof = field(phone, 'p' .. ARGV[2])
if not proof then return 1 end
local challenge = field(phone, 'c' .. ARGV[3])
-- Another challenge may have replaced it meanwhile. A redeemed proof has been used and stays.
if #proof > 13 or not challenge or sub(challenge, 47, 62) ~= ARGV[2] then return 0 end
local consecutive = byte(challenge, 46)
if consecutive > 0 then
  local since = redis.call('GET', KEYS[2]) or 0
  if since + consecutive >= STRANGER_CONSECUTIVE then
    redis.call('SET', KEYS[2], since + consecutive) -- A block never expires.
  else
    redis.call('SET', KEYS[2], since + consecutive, 'PX', CONSECUTIVE_LIFE_MS)
  end
end
--# guard unverified
redis.call('HDEL', KEYS[1], 'p' .. ARGV[2])
redis.call('HSET', KEYS[1], 'c' .. ARGV[3], sub(challenge, 1, 42) .. char(byte(challenge, 43) - 128) .. sub(challenge, 44, 45))
if KEYS[STATS_KEY] ~= KEYS[1] and byte(proof, 13) == 0 then
  local link, at = ARGV[3] .. sub(challenge, 7, 10), unpack_ms(proof, 1)
  --# include served
  figure = figure .. 'v'
  local counter = char(at / 235929600000, at / 921600000 % 256, at / 3600000 % 256) .. figure
  if redis.pcall('HINCRBY', KEYS[STATS_KEY], counter, '-1') == -1 then
    --# include fold
    fold(figure, at, '-1')
  end
end
return 1
