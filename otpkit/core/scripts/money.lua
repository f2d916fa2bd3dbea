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
  if start then return tonumber(start), tonumber(spent), tonumber(hour), tonumber(in_hour), tonumber(alerted) end
end

local function money_write(i, name, start, spent, hour, in_hour, alerted)
  money_set(i, name, string.format('%.0f %.0f %.0f %.0f %.0f', start, spent, hour, in_hour, alerted))
end

-- Give back what was reserved at `reserved`, in the windows and hours that still run. `text` is "name amount;name amount;".
local function money_refund(i, text, reserved)
  for name, amount in string.gmatch(text, '(%S+) (%d+);') do
    local start, spent, hour, in_hour, alerted = money_of(i, name)
    if start and start <= reserved then
      amount = tonumber(amount)
      local elapsed = reserved - start
      if elapsed - elapsed % HOUR_MS == hour * HOUR_MS then in_hour = max(0, in_hour - amount) end
      money_write(i, name, start, max(0, spent - amount), hour, in_hour, alerted)
    end
  end
end
