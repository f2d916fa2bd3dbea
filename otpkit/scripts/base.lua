-- What every script leans on. The policy's numbers are defined above this text, by the loader: times in milliseconds, rates as
-- {limit, window}.

local byte, char, sub, floor, max, min = string.byte, string.char, string.sub, math.floor, math.max, math.min

local DAY_MS = 86400000

local function server_now()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME') -- read once: it moves inside a script on some servers
  return time[1] * 1000 + floor(time[2] / 1000)
end

-- Lengthen the life of a key; never shorten it.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end
