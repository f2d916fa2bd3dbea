-- Note what the guard decided, for the report, and since when it has only observed. Nothing that is noted is judged.
--
-- KEYS  1 notes_key: one hash. A field is an hour since 1970, an outcome and a scope, or "s", a scope and a subject's name; the
--       value is the number of decisions, of a subject behind the hour of the latest; 2 since_key: when a guard in the mode observe
--       first noted something, in ms; there is none while a guard enforces
-- ARGV  1 now: in ms, or ''; 2 mode: o(bserve), e(nforce), or anything else to leave since_key as it is; 3… decisions: an outcome (captcha, refused or observed), a scope, the name of its subject or '',
--       and how many there were
-- Returns 1

--# include clock

local HOURS, MOST_SUBJECTS, LIFE_MS, SINCE_LIFE_MS = 168, 500, '691200000', '34560000000'
if ARGV[2] == 'e' then
  redis.call('DEL', KEYS[2])
elseif ARGV[2] == 'o' then
  if not redis.call('SET', KEYS[2], string.format('%.0f', now), 'NX', 'PX', SINCE_LIFE_MS) then
    redis.call('PEXPIRE', KEYS[2], SINCE_LIFE_MS)
  end
end
if not ARGV[3] then return 1 end
local hour = (now - now % 3600000) / 3600000
local latest = tonumber(redis.call('HGET', KEYS[1], 'latest') or 0)
if hour > latest then
  local fields, subjects = redis.call('HGETALL', KEYS[1]), 0
  for i = 1, #fields, 2 do
    local its_hour = tonumber(string.match(fields[i], '^%d+') or string.match(fields[i + 1], '^%d+'))
    if its_hour and its_hour <= hour - HOURS then
      redis.call('HDEL', KEYS[1], fields[i])
    elseif byte(fields[i]) == 115 then
      subjects = subjects + 1
    end
  end
  redis.call('HSET', KEYS[1], 'latest', string.format('%.0f', hour), 'subjects', subjects)
  if redis.call('PTTL', KEYS[1]) < tonumber(LIFE_MS) then redis.call('PEXPIRE', KEYS[1], LIFE_MS) end
end
for i = 3, #ARGV, 4 do
  local field, more = string.format('%.0f %s %s', hour, ARGV[i], ARGV[i + 1]), tonumber(ARGV[i + 3])
  local decisions = redis.call('HGET', KEYS[1], field) or 0
  redis.call('HSET', KEYS[1], field, decisions + more)
  if ARGV[i + 2] ~= '' then
    field = string.format('s %s %s', ARGV[i + 1], ARGV[i + 2])
    local noted = redis.call('HGET', KEYS[1], field)
    local subjects = tonumber(redis.call('HGET', KEYS[1], 'subjects') or 0)
    if noted or subjects < MOST_SUBJECTS then
      local count = noted and string.match(noted, '%d+$') or 0
      redis.call('HSET', KEYS[1], field, string.format('%.0f %d', hour, count + more))
      if not noted then redis.call('HSET', KEYS[1], 'subjects', subjects + 1) end
    end
  end
end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], LIFE_MS) end
return 1
