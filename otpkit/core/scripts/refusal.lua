-- Count a refused call, once. Nothing else remembers it, so the latest ids do: a retry whose reply was lost has the same one.

local MOST_RECENT = 256

local function refusal(what)
  if KEYS[STATS_KEY] ~= KEYS[1] then
    local recent, id = redis.pcall('HGET', KEYS[STATS_KEY], 'recent'), sub(ARGV[2], 1, 6)
    recent = recent and not recent.err and recent or ''
    if not string.find(recent, id, 1, true) then
      recent = sub(id .. recent, 1, 6 * MOST_RECENT)
      redis.pcall('HSET', KEYS[STATS_KEY], 'recent', recent)
      local figure = sub(label, 1, 4) .. '. '
      --# include tally
    end
  end
end
