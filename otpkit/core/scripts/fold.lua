-- Figures: counts of one namespace, without anything about a person. One hash, with hours since 1970 and these fields:
--
--   <hour 3> CN twilio v an open counter: the hour in three bytes, the region, the gateway or '.', and what is counted, see below
--   open                 the open counters, each on a line such as "490123 CN twilio v", behind a line "hour pairs": the latest
--                        hour, and how many different pairs of a region and a gateway it counts
--   h490122              a closed hour, kept for 35 days: a line for each pair, "CN twilio a45000=7,v=5"
--   d20421               a UTC day: the sum of hours that are older, kept for 400 days
--   first                "hour day": no hour and no day is kept before these
--   recent               the ids of the latest refused calls, to recognise a retry
--
-- What is counted: a or u and a cost in millionths (accepted, uncertain), behind an o if another system keeps the code, r(ejected), d and a bucket (delivered; see receive.lua),
-- f(ailed on its way), v(erified), w(rong code), l and a scope (limited), g and an outcome (the guard's decision).
--
-- A new counter is rare. It is listed, and then the counters of hours before are folded into their hours. More pairs than
-- MOST_PAIRS in one hour are counted together, as region and gateway '*'.

local function fold(figure, ms, number)
  local MOST_PAIRS, HOURS, DAYS, LIFE_MS, AT_ONCE = 100, 840, 400, '34560000000', 24
  local gmatch, match, find = string.gmatch, string.match, string.find

  local function get(name)
    local value = redis.pcall('HGET', KEYS[STATS_KEY], name)
    return value and not value.err and value or ''
  end
  local function open_field(hour, its_figure) return char(hour / 65536, hour / 256 % 256, hour % 256) .. its_figure end

  -- Add a packed text to a table: pair, what is counted, number.
  local function unpacked(text, into)
    for name, counts in gmatch(text, '([^\n ]+ [^\n ]+) ([^\n]*)\n') do
      local its = into[name]
      if not its then
        its = {}
        into[name] = its
      end
      for what, count in gmatch(counts, '([^=,]+)=(-?%d+)') do its[what] = (its[what] or 0) + tonumber(count) end
    end
    return into
  end

  local function packed(from)
    local lines = {}
    for name, its in pairs(from) do
      local counts = {}
      for what, count in pairs(its) do
        if count ~= 0 then counts[#counts + 1] = string.format('%s=%.0f', what, count) end
      end
      if counts[1] then
        table.sort(counts)
        lines[#lines + 1] = name .. ' ' .. table.concat(counts, ',') .. '\n'
      end
    end
    table.sort(lines)
    return table.concat(lines)
  end

  local hour, its_hour = (now - now % 3600000) / 3600000, (ms - ms % 3600000) / 3600000
  local today = (hour - hour % 24) / 24
  local open = get('open')
  local latest, found = match(open, '^(%d+) (%d+)\n')
  latest, found = tonumber(latest or 0), tonumber(found or 0)
  local listed = sub(open, (find(open, '\n', 1, true) or 1))
  if listed == '' then listed = '\n' end

  if hour ~= latest then
    -- Close the hours before. Their counters are removed in the same script, so that nothing counts twice.
    local closed, gone, stays = {}, {}, '\n'
    for name in gmatch(listed, '[^\n]+') do
      local digits, pair, what = match(name, '^(%d+) (%S+ %S+) (%S+)$')
      local closing = tonumber(digits)
      if closing and closing < hour then
        local field_name = open_field(closing, sub(name, #digits + 1))
        local count = tonumber(get(field_name))
        if count then
          local its = closed[closing] or {}
          closed[closing] = its
          its[pair] = its[pair] or {}
          its[pair][what] = (its[pair][what] or 0) + count
        end
        gone[#gone + 1] = field_name
      else
        stays = stays .. name .. '\n'
      end
    end
    local first_hour, first_day = match(get('first'), '^(%d+) (%d+)$')
    first_hour, first_day = tonumber(first_hour or hour), tonumber(first_day or today)
    for closing, its in pairs(closed) do
      local name = string.format('h%.0f', closing)
      local text = packed(unpacked(get(name), its))
      redis.pcall('HSET', KEYS[STATS_KEY], name, text)
      first_hour = min(first_hour, closing)
    end
    for i = 1, #gone do redis.pcall('HDEL', KEYS[STATS_KEY], gone[i]) end
    -- Move old hours to their days, some of them at once: after a long pause there may be many.
    local days, last_hour = {}, min(hour - HOURS, first_hour + AT_ONCE - 1)
    for old = first_hour, last_hour do
      local text = get(string.format('h%.0f', old))
      if text ~= '' then
        local day = (old - old % 24) / 24
        days[day] = unpacked(text, days[day] or unpacked(get(string.format('d%.0f', day)), {}))
      end
    end
    for day, its in pairs(days) do
      local name, text = string.format('d%.0f', day), packed(its)
      redis.pcall('HSET', KEYS[STATS_KEY], name, text)
      first_day = min(first_day, day)
    end
    for old = first_hour, last_hour do
      local name = string.format('h%.0f', old)
      redis.pcall('HDEL', KEYS[STATS_KEY], name)
    end
    -- The last 400 days begin within a day, which is read as a whole.
    local last_day = min(today - DAYS - 1, first_day + AT_ONCE - 1)
    for day = first_day, last_day do
      local name = string.format('d%.0f', day)
      redis.pcall('HDEL', KEYS[STATS_KEY], name)
    end
    first_hour, first_day = max(first_hour, last_hour + 1), max(first_day, last_day + 1)
    local first = string.format('%.0f %.0f', first_hour, first_day)
    redis.pcall('HSET', KEYS[STATS_KEY], 'first', first)
    latest, found, listed = hour, 0, stays
  end

  local name = its_hour .. figure
  if not find(listed, '\n' .. name .. '\n', 1, true) then
    local start = its_hour .. (match(figure, '^ %S+ %S+ ') or ' ')
    if not find(listed, '\n' .. start, 1, true) then
      if found >= MOST_PAIRS and find(figure, ' * * ', 1, true) ~= 1 then
        local counter = open_field(its_hour, figure)
        redis.pcall('HDEL', KEYS[STATS_KEY], counter)
        figure = ' * * ' .. (match(figure, '%S+$') or '-')
        name, counter = its_hour .. figure, open_field(its_hour, figure)
        redis.pcall('HINCRBY', KEYS[STATS_KEY], counter, number)
      else
        found = found + 1
      end
    end
    if not find(listed, '\n' .. name .. '\n', 1, true) then listed = listed .. name .. '\n' end
  end
  listed = string.format('%.0f %.0f', latest, found) .. listed
  redis.pcall('HSET', KEYS[STATS_KEY], 'open', listed)
  redis.pcall('PEXPIRE', KEYS[STATS_KEY], LIFE_MS)
end
