-- Window counters for what is wider than a phone: an IP address, a region, all sends. One hash a subject; a field is the window's
-- length in milliseconds, its value "start count". Windows start at whole multiples of their length, so days are UTC days.
-- Rates are written "limit/window_ms limit/window_ms".

local function write_window(key, window, start, count)
  redis.call('HSET', key, window, string.format('%.0f %d', start, count))
end

local function read_window(key, window, now)
  local start = now - now % window
  local recorded, count = string.match(redis.call('HGET', key, window) or '', '(%d+) (%d+)')
  if not recorded or tonumber(recorded) < start then return start, 0 end
  -- A start in the future (a failover to a slower clock) counts as the current one from here on.
  if tonumber(recorded) > start then write_window(key, window, start, count) end
  return start, tonumber(count)
end

-- How long until all rates allow one more, and which of them takes longest, as rolling_wait tells it.
local function window_wait(key, rates, now)
  local wait, longest, its_window = 0
  for limit, window in string.gmatch(rates, '(%d+)/(%d+)') do
    local start, count = read_window(key, window, now)
    if count >= tonumber(limit) and start + window - now > wait then
      wait, longest, its_window = start + window - now, tonumber(limit), tonumber(window)
    end
  end
  return wait, longest, its_window
end

-- Lengthen the life of a key; never shorten it.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

local function window_take(key, rates, now)
  for _, window in string.gmatch(rates, '(%d+)/(%d+)') do
    local start, count = read_window(key, window, now)
    write_window(key, window, start, count + 1)
    keep(key, tonumber(window))
  end
end

-- Give back what was taken at `taken`, where that window still runs.
local function window_give(key, rates, taken)
  for _, window in string.gmatch(rates, '(%d+)/(%d+)') do
    local recorded, count = string.match(redis.call('HGET', key, window) or '', '(%d+) (%d+)')
    if recorded and tonumber(recorded) == taken - taken % window and tonumber(count) > 0 then
      write_window(key, window, recorded, count - 1)
    end
  end
end
