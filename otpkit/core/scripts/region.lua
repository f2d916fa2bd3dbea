-- Move the record of a region, or of all regions, on to the time. Fold the buckets of 5 minutes that leave their ring into
-- those of 6 hours, and close the UTC days that are folded completely.

local EMPTY_REGION = string.rep('\0', 82) .. '\10\240\0' .. string.rep('\0', 33)
local FIRST_SHARE, LEAST_SHARE, MOST_SHARE, LEARNING_DAYS = 2800, 300, 5000, 7

local function pack_number(number)
  local d = number % 256
  number = (number - d) / 256
  local c = number % 256
  number = (number - c) / 256
  local b = number % 256
  return char((number - b) / 256, b, c, d)
end

local function number_at(record, place)
  local a, b, c, d = byte(record, place, place + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- Return the share, the days and the ratios after one more day: the usual ratio is the median of the last days. Each is at
-- most 1.1 times the one before, so that an attack can't teach its own ratio.
local function with_day(learned, unverified, verified)
  local days, high, low = byte(learned, 3, 5)
  local ratio = 1.1 * (days > 0 and high * 256 + low or FIRST_SHARE)
  if verified > 0 then ratio = min(ratio, 10000 * unverified / verified) end
  ratio = max(LEAST_SHARE, min(MOST_SHARE, ratio))
  ratio = ratio - ratio % 1
  days = min(14, days + 1)
  local ratios = char((ratio - ratio % 256) / 256, ratio % 256) .. sub(learned, 4, 29)
  local share, sorted = FIRST_SHARE, {}
  if days >= LEARNING_DAYS then
    for i = 1, days do
      high, low = byte(ratios, 2 * i - 1, 2 * i)
      sorted[i] = high * 256 + low
    end
    table.sort(sorted)
    share = (sorted[(days + days % 2) / 2] + sorted[(days - days % 2) / 2 + 1]) / 2
    share = share - share % 1
  end
  return char((share - share % 256) / 256, share % 256, days) .. ratios
end

local function region_rolled(record)
  local index = (now - now % SHORT_MS) / SHORT_MS
  record = record or EMPTY_REGION
  local a, b, c = byte(record, 1, 3)
  local newest = (a * 256 + b) * 256 + c
  if newest == 0 then newest = index end
  if newest > index then return pack_index(index) .. sub(record, 4) end
  local short, long, guesses = sub(record, 4, 27), sub(record, 36, 59), sub(record, 60, 71)
  local slow, slow_index = (newest - newest % 72) / 72, (index - index % 72) / 72
  long, guesses = cleared(long, 6, slow, slow_index), cleared(guesses, 3, slow, slow_index)
  a, b, c = byte(record, 72, 74)
  local today, unverified, verified, learned = (a * 256 + b) * 256 + c, number_at(record, 75), number_at(record, 79), sub(record, 83, 113)
  local function reach(day)
    if day > today then
      if unverified + verified > 0 then learned = with_day(learned, unverified, verified) end
      today, unverified, verified = day, 0, 0
    end
  end
  for i = newest - 3, min(newest, index - 4) do
    local place = 6 * (i % 4) + 1
    local bucket = sub(short, place, place + 5)
    local d, e, f
    a, b, c, d, e, f = byte(bucket, 1, 6)
    local its_unverified, its_verified = (a * 256 + b) * 256 + c, (d * 256 + e) * 256 + f
    if its_unverified + its_verified > 0 then
      reach((i - i % 288) / 288)
      unverified, verified = unverified + its_unverified, verified + its_verified
      local its_slow = (i - i % 72) / 72
      if slow_index - its_slow < 4 then
        local its_place = 6 * (its_slow % 4) + 1
        long = sub(long, 1, its_place - 1) .. shifted(long, its_place, its_unverified, its_verified) .. sub(long, its_place + 6)
      end
    end
  end
  reach((index - 3 - (index - 3) % 288) / 288)
  local g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd = byte(long, 1, 24)
  return pack_index(index) .. cleared(short, 6, newest, index)
    .. pack_number(((g + m + s + y) * 256 + h + n + t + z) * 256 + i + o + u + aa)
    .. pack_number(((j + p + v + bb) * 256 + k + q + w + cc) * 256 + l + r + x + dd)
    .. long .. guesses .. pack_index(today) .. pack_number(unverified) .. pack_number(verified) .. learned .. sub(record, 114)
end
