-- Count the unverified and the verified sends of a scope. A record has 32 bytes:
--
--   newest 3     the index of its newest bucket: the time divided by the length of a bucket
--   slot 4       when the scope, while it refused, last let a send through, in seconds
--   quiet 1      the buckets since a verification was counted; 255 is longer ago, or never
--   4 buckets    unverified 3, verified 3; the newest comes first
--   [override    a(llow) or b(lock) 1, until 6]
--
-- A range has buckets of 6 hours, an address and a network of 15 minutes. All wider scopes are fields of one hash, named by
-- the region, or "*" for all regions:
--
--   96           three records: sends in buckets of 5 minutes, sends in buckets of 6 hours, guesses in buckets of 6 hours
--   share 2      the region's ratio of unverified to verified sends, in 1/10000
--   days 1       the closed UTC days that it comes from, at most 14
--   28           their ratios, the newest first
--   in_use 5     for "*": the regions in use, and the UTC day of which that is the count
--   [override    as above]
--
-- A window is the current bucket and three whole ones: it counts all that is younger than three buckets, and nothing that is
-- older than four.

local RANGE_MS, ADDRESS_MS, SHORT_MS = 21600000, 900000, 300000
local BUCKETS = string.rep('\0', 24)
local EMPTY = '\0\0\0\0\0\0\0\255' .. BUCKETS
local FIRST_SHARE, LEAST_SHARE, MOST_SHARE, LEARNING_DAYS = 3500, 300, 5000, 7
local EMPTY_REGION = EMPTY .. EMPTY .. EMPTY .. '\13\172\0' .. BUCKETS .. '\0\0\0\0' .. '\0\0\0\0\0'
local OVERRIDE_AT, REGION_OVERRIDE_AT = 33, 133

-- Return a record whose newest bucket is that of `now`.
local function rolled(record, now, length)
  local a, b, c, _, _, _, _, quiet = byte(record, 1, 8)
  local index = (now - now % length) / length
  local passed = index - ((a * 256 + b) * 256 + c)
  if passed == 0 then return record end
  c = index % 256
  index = (index - c) / 256
  b = index % 256
  local newest = char((index - b) / 256, b, c)
  if passed < 0 then return newest .. sub(record, 4) end -- A time in the future (after a failover to a slower clock) is now.
  local kept = 6 * max(0, 4 - passed)
  return newest .. sub(record, 4, 7) .. char(min(255, quiet + passed))
    .. sub(BUCKETS, kept + 1) .. sub(record, 9, 8 + kept) .. sub(record, OVERRIDE_AT)
end

-- Return the unverified and the verified sends of a record.
local function counts(record)
  local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(record, 9, 32)
  return ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u,
    ((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x
end

-- Return a record with more or fewer sends in the bucket of `at`, if it still has that bucket. No count falls below 0.
local function added(record, at, length, unverified, verified)
  local a, b, c = byte(record, 1, 3)
  local age = max(0, (a * 256 + b) * 256 + c - (at - at % length) / length)
  if age > 3 then return record end
  local place = 9 + 6 * age
  local d, e, f, g, h, i = byte(record, place, place + 5)
  unverified = min(16777215, max(0, (d * 256 + e) * 256 + f + unverified))
  f = unverified % 256
  unverified = (unverified - f) / 256
  e = unverified % 256
  if verified ~= 0 then
    if verified > 0 then record = sub(record, 1, 7) .. '\0' .. sub(record, 9) end
    verified = min(16777215, max(0, (g * 256 + h) * 256 + i + verified))
    i = verified % 256
    verified = (verified - i) / 256
    h = verified % 256
    g = (verified - h) / 256
  end
  return sub(record, 1, place - 1) .. char((unverified - e) / 256, e, f, g, h, i) .. sub(record, place + 6)
end

-- Return a region's value with more or fewer sends and guesses.
local function region_added(value, at, unverified, verified, guesses)
  local short, day, guessed = sub(value, 1, 32), sub(value, 33, 64), sub(value, 65, 96)
  if unverified ~= 0 then
    short, day = added(short, at, SHORT_MS, unverified, verified), added(day, at, RANGE_MS, unverified, verified)
  end
  if guesses ~= 0 then guessed = added(guessed, at, RANGE_MS, guesses, 0) end
  return short .. day .. guessed .. sub(value, 97)
end
