-- Count in windows what is wider than a phone: an IP address, a region, all sends. Each has one hash. A field is the window's
-- length in ms, its value "start count". Windows start at whole multiples of their length, so days are UTC days. Rates have
-- the format "limit/window_ms limit/window_ms". A limit is named by its place in KEYS, see places.py.

-- Managed clusters accept a script only if each key is written as KEYS[digit], so each place has a line.
local function read_window(i, window)
  if i == 1 then return redis.call('HGET', KEYS[1], window) end
  if i == FIRST_LIMIT then return redis.call('HGET', KEYS[FIRST_LIMIT], window) end
  if i == SECOND_LIMIT then return redis.call('HGET', KEYS[SECOND_LIMIT], window) end
  if i == THIRD_LIMIT then return redis.call('HGET', KEYS[THIRD_LIMIT], window) end
end

local function write_window(i, window, start, count)
  local value = string.format('%.0f %d', start, count)
  if i == 1 then redis.call('HSET', KEYS[1], window, value) end
  if i == FIRST_LIMIT then redis.call('HSET', KEYS[FIRST_LIMIT], window, value) end
  if i == SECOND_LIMIT then redis.call('HSET', KEYS[SECOND_LIMIT], window, value) end
  if i == THIRD_LIMIT then redis.call('HSET', KEYS[THIRD_LIMIT], window, value) end
end

local function life_of(i)
  if i == 1 then return redis.call('PTTL', KEYS[1]) end
  if i == FIRST_LIMIT then return redis.call('PTTL', KEYS[FIRST_LIMIT]) end
  if i == SECOND_LIMIT then return redis.call('PTTL', KEYS[SECOND_LIMIT]) end
  if i == THIRD_LIMIT then return redis.call('PTTL', KEYS[THIRD_LIMIT]) end
end

local function set_life(i, ms)
  if i == 1 then redis.call('PEXPIRE', KEYS[1], ms) end
  if i == FIRST_LIMIT then redis.call('PEXPIRE', KEYS[FIRST_LIMIT], ms) end
  if i == SECOND_LIMIT then redis.call('PEXPIRE', KEYS[SECOND_LIMIT], ms) end
  if i == THIRD_LIMIT then redis.call('PEXPIRE', KEYS[THIRD_LIMIT], ms) end
end

-- Read a limit: {window, start, count} of each rate. `wait` is the ms until all rates allow one more. `limit` and `window`
-- belong to the rate with the longest wait. `longest` is the longest window, and `life` the same as text.
local function window_read(i, rates, now)
  local found = { wait = 0, longest = 0 }
  for limit, window in string.gmatch(rates, '(%d+)/(%d+)') do
    local length = tonumber(window)
    local start, count = now - now % length, 0
    local value = read_window(i, window)
    if value then
      local recorded, counted = string.match(value, '(%d+) (%d+)')
      recorded = tonumber(recorded)
      if recorded and recorded >= start then
        count = tonumber(counted)
        -- A start in the future (after a failover to a slower clock) becomes the current one.
        if recorded > start then write_window(i, window, start, count) end
      end
    end
    if count >= tonumber(limit) and start + length - now > found.wait then
      found.wait, found.limit, found.window = start + length - now, tonumber(limit), length
    end
    found[#found + 1] = { window, start, count }
    if length > found.longest then found.longest, found.life = length, window end
  end
  return found
end

-- Add one to the counts that `window_read` found.
local function window_consume(i, found)
  for _, each in ipairs(found) do write_window(i, each[1], each[2], each[3] + 1) end
end

-- Extend the expiry of a limit to its longest window; never shorten it.
local function window_keep(i, found)
  if life_of(i) < found.longest then set_life(i, found.life) end
end

-- Refund a unit that was taken at `taken`, if that window still runs.
local function window_refund(i, rates, taken)
  for _, window in string.gmatch(rates, '(%d+)/(%d+)') do
    local recorded, count = string.match(read_window(i, window) or '', '(%d+) (%d+)')
    if recorded and tonumber(recorded) == taken - taken % window and tonumber(count) > 0 then
      write_window(i, window, recorded, count - 1)
    end
  end
end
