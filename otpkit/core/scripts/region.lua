-- Move a region's buckets on, and close its UTC days.

-- Return the ratios with that of a closed day. `day` is its record, whose newest bucket is that day's last.
local function close_day(day, newest, ratios)
  local unverified, verified = 0, 0
  for age = 0, newest % 4 do
    local d, e, f, g, h, i = byte(day, 9 + 6 * age, 14 + 6 * age)
    unverified, verified = unverified + (d * 256 + e) * 256 + f, verified + (g * 256 + h) * 256 + i
  end
  if unverified + verified == 0 then return ratios end
  local days, high, low = byte(ratios, 3, 5)
  local before = days > 0 and high * 256 + low or FIRST_SHARE
  local ratio = min(verified > 0 and 10000 * unverified / verified or MOST_SHARE, 1.1 * before)
  ratio = max(LEAST_SHARE, min(MOST_SHARE, ratio))
  ratio = ratio - ratio % 1
  days = min(14, days + 1)
  local kept = char((ratio - ratio % 256) / 256, ratio % 256) .. sub(ratios, 4, 29)
  local share, sorted = FIRST_SHARE, {}
  if days >= LEARNING_DAYS then
    for i = 1, days do
      high, low = byte(kept, 2 * i - 1, 2 * i)
      sorted[i] = high * 256 + low
    end
    table.sort(sorted)
    share = (sorted[(days + days % 2) / 2] + sorted[(days - days % 2) / 2 + 1]) / 2
    share = share - share % 1
  end
  return char((share - share % 256) / 256, share % 256, days) .. kept .. sub(ratios, 32)
end

local function region_rolled(value, now)
  local day, ratios = sub(value, 33, 64), sub(value, 97)
  local a, b, c = byte(day, 1, 3)
  local newest = (a * 256 + b) * 256 + c
  if newest > 0 and newest - newest % 4 < (now - now % DAY_MS) / RANGE_MS then ratios = close_day(day, newest, ratios) end
  return rolled(sub(value, 1, 32), now, SHORT_MS) .. rolled(day, now, RANGE_MS)
    .. rolled(sub(value, 65, 96), now, RANGE_MS) .. ratios
end
