-- Budgets: one hash for all of them. A field is a budget's name, its value "start spent hour in_hour alerted": the start of its
-- window in ms, what the window has spent, the latest hour counted from the start, what that hour has spent, and the highest
-- alert so far, in millionths of the whole. The field name! counts refusals, "start amount keep hour", by what was used up.
-- Amounts are whole millionths of the currency. The hash is named by its place in KEYS.

local HOUR_MS = 3600000

-- Managed clusters accept a script only if each key is written as KEYS[digit], so each place has a line.
local function money_get(i, name)
  if i == 1 then return redis.call('HGET', KEYS[1], name) end
  if i == MONEY_KEY then return redis.call('HGET', KEYS[MONEY_KEY], name) end
end

local function money_set(i, name, value)
  if i == 1 then redis.call('HSET', KEYS[1], name, value) end
  if i == MONEY_KEY then redis.call('HSET', KEYS[MONEY_KEY], name, value) end
end

-- Return the numbers of a budget: start, spent, hour, in_hour, alerted; or nil.
local function money_of(i, name)
  local start, spent, hour, in_hour, alerted = string.match(money_get(i, name) or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if start then return start + 0, spent + 0, hour + 0, in_hour + 0, alerted + 0 end -- Faster than tonumber.
end

local function money_write(i, name, start, spent, hour, in_hour, alerted)
  -- Joining numbers takes half as long as formatting them, but it keeps only 14 digits.
  if start < 1e14 and spent < 1e14 and in_hour < 1e14 then
    money_set(i, name, start .. ' ' .. spent .. ' ' .. hour .. ' ' .. in_hour .. ' ' .. alerted)
  else
    money_set(i, name, string.format('%.0f %.0f %.0f %.0f %.0f', start, spent, hour, in_hour, alerted))
  end
end
