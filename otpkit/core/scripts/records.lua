-- Count the unverified and the verified sends of a scope, in one string. A bucket has 6 bytes: unverified 3, verified 3. A ring
-- has four buckets; a bucket's place in it is its index modulo 4, where the index is the time divided by the bucket's length.
--
-- A range has buckets of 6 hours, an address and a network of 15 minutes:
--
--    1  newest 3     the index of the newest bucket
--    4  slot 4       when the scope, while it refused, last let a send through, in seconds
--    8  quiet 1      the buckets since a verification was counted; 255 is longer ago, or never
--    9  ring 24
--   33  [override    a(llow) or b(lock) 1, until 6]
--
-- A region, and all regions together, are counted for 20 minutes and for 24 hours:
--
--    1  newest 3     the index of the newest bucket of 5 minutes
--    4  ring 24      these buckets; what leaves the ring is folded into that of 6 hours
--   28  folded 8     the sum of the ring of 6 hours: unverified 4, verified 4
--   36  ring 24      buckets of 6 hours
--   60  guesses 12   challenges with a wrong code and no right one, in four buckets of 6 hours
--   72  today 11     the UTC day that is being folded 3, its unverified 4 and verified 4 sends
--   83  share 2      the usual ratio of unverified to verified sends, in 1/10000
--   85  days 1       the closed days that it comes from, at most 14
--   86  ratios 28    of these days, the newest first
--  114  in_use 5     for all regions: the regions in use 1; the UTC day 3, and how many were used in it 1
--  119  [override    as above]
--
-- A window counts all that is younger than three of its four buckets, and nothing that is older than four.

local RANGE_MS, ADDRESS_MS, SHORT_MS = 21600000, 900000, 300000

-- Return a bucket of a record with more or fewer sends. No count falls below 0.
local function shifted(record, place, unverified, verified)
  local a, b, c, d, e, f = byte(record, place, place + 5)
  -- Nearly always only the low bytes change: this halves the cost.
  local low_c, low_f = c + unverified, f + verified
  if low_c >= 0 and low_c < 256 and low_f >= 0 and low_f < 256 then return char(a, b, low_c, d, e, low_f) end
  unverified = min(16777215, max(0, (a * 256 + b) * 256 + c + unverified))
  verified = min(16777215, max(0, (d * 256 + e) * 256 + f + verified))
  c, f = unverified % 256, verified % 256
  unverified, verified = (unverified - c) / 256, (verified - f) / 256
  b, e = unverified % 256, verified % 256
  return char((unverified - b) / 256, b, c, (verified - e) / 256, e, f)
end

-- Return the place of a bucket in a record whose ring begins at `ring`, or nil if the record does not have it.
local function place_of(record, ring, at, length)
  local a, b, c = byte(record, 1, 3)
  local index = (at - at % length) / length
  local age = (a * 256 + b) * 256 + c - index
  if age >= 0 and age < 4 then return ring + 6 * (index % 4) end
end
