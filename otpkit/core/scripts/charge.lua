-- Charge a message to its budgets. `text` has for each one, in columns: its name 11; the amounts, 15 digits each: what the message
-- costs, the whole amount, the part that is open to unknown numbers, what an hour may cost; four starts of windows around now
-- in ms, 15 digits each; then the alerts as share:amount, in millionths, or a hyphen; and a semicolon.

-- Extend the expiry to the longest window and a day; never shorten it. A second less is left as it is: the server's clock runs
-- on during a script, so each message would extend it by a millisecond.
local function money_keep(i, bill)
  local ms = bill.life
  if i == 1 and redis.call('PTTL', KEYS[1]) < ms - 1000 then redis.call('PEXPIRE', KEYS[1], ms) end
  if i == MONEY_KEY and redis.call('PTTL', KEYS[MONEY_KEY]) < ms - 1000 then redis.call('PEXPIRE', KEYS[MONEY_KEY], ms) end
end

-- Read the budgets. `wait` is the ms until all of them can afford the message, with the place of the budget with the longest
-- wait and the reason. `misdated` is true if now is not within the bounds.
local function money_read(i, text, now, privileged)
  local bill = { wait = 0, life = 0 }
  -- In columns, and only what is used becomes a number: a pattern takes three times as long.
  local at = 1
  while at <= #text do
    local stop = string.find(text, ';', at + 131, true)
    local name, cost, hourly = sub(text, at, at + 10), sub(text, at + 11, at + 25) + 0, sub(text, at + 56, at + 70) + 0
    local start, ends = sub(text, at + 86, at + 100) + 0, sub(text, at + 101, at + 115) + 0
    if now < start then
      start, ends = sub(text, at + 71, at + 85) + 0, start
    elseif now >= ends then
      start, ends = ends, sub(text, at + 116, at + 130) + 0
    end
    if now < start or now >= ends then
      bill.misdated = true
      return bill
    end
    local hour = (now - start - (now - start) % HOUR_MS) / HOUR_MS
    local spent, in_hour, alerted = 0, 0, 0
    local its_start, its_spent, its_hour, its_in_hour, its_alerted = money_of(i, name)
    if its_start and its_start >= start then
      spent, alerted = its_spent, its_alerted
      -- A window or hour in the future (after a failover to a slower clock) goes on; one that is too far away becomes the current one.
      if its_start > start and its_start <= sub(text, at + 116, at + 130) + 0 then start, hour = its_start, its_hour end
      if its_start > start or its_hour >= hour then in_hour = its_in_hour end
      if its_start == start and its_hour > hour then hour = its_hour end
    end
    local wait, reason = 0
    if spent + cost > (privileged and sub(text, at + 26, at + 40) or sub(text, at + 41, at + 55)) + 0 then
      wait, reason = ends - now, spent + cost > sub(text, at + 26, at + 40) + 0 and 'amount' or 'keep'
    elseif in_hour > 0 and in_hour + cost > hourly then
      wait, reason = min(ends, start + (hour + 1) * HOUR_MS) - now, 'hour'
    end
    bill[#bill + 1] = {
      name = name, start = start, spent = spent + cost, hour = hour, in_hour = in_hour + cost, alerted = alerted,
      alerts = sub(text, at + 131, stop - 1), is_known = its_start ~= nil,
    }
    if wait > bill.wait then bill.wait, bill.place, bill.reason = wait, #bill, reason end
    bill.life = max(bill.life, ends - now + DAY_MS)
    at = stop + 1
  end
  return bill
end

-- Charge what `money_read` found. Return the alerts that are reached now: two hexadecimal digits for each budget, with a bit
-- for each of its alerts, the first one in the lowest; or '' if there are none.
local function money_charge(i, bill)
  local marks, reached = '', false
  for _, budget in ipairs(bill) do
    local bits, bit, alerted = 0, 1, budget.alerted
    -- The shares ascend: below the first amount nothing is reached, and the rest is not read.
    if budget.alerts ~= '-' and budget.spent >= tonumber(string.match(budget.alerts, ':(%d+)')) then
      for share, least in string.gmatch(budget.alerts, '(%d+):(%d+)') do
        share = tonumber(share)
        if share > budget.alerted and budget.spent >= tonumber(least) then
          bits, alerted, reached = bits + bit, max(alerted, share), true
        end
        bit = bit * 2
      end
    end
    marks = marks .. (bits == 0 and '00' or string.format('%02x', bits))
    money_write(i, budget.name, budget.start, budget.spent, budget.hour, budget.in_hour, alerted)
  end
  return reached and marks or ''
end
