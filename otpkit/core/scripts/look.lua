-- Read the counts of a scope, and change nothing.
--
-- KEYS  1 record_key: see records.lua
-- ARGV  1 now: in ms, or ''; 2 length_ms: of a bucket, or 0 for a region
-- Returns {now_ms, override, ends_ms, slot_ms, quiet, unverified, verified} of a range, an address or a network; and
--         {now_ms, override, ends_ms, short_unverified, short_verified, unverified, verified, guesses, share, days, regions} of a
--         region: override is 0, 1 (allowed) or 2 (blocked) until ends_ms, slot_ms is when a refusing scope last let a send through,
--         quiet the buckets since a verification, share in 1/10000, days those that it comes from

--# include clock phone records rolled region

local record, length = redis.call('GET', KEYS[1]), tonumber(ARGV[2])
local function total(text, size)
  local sum = 0
  for i = 1, #text, size do
    local a, b, c = byte(text, i, i + 2)
    sum = sum + (a * 256 + b) * 256 + c
  end
  return sum
end
local place = length > 0 and 33 or 119
local override, ends = 0, 0
if record and #record >= place then
  ends = unpack_ms(record, place + 1)
  if ends > now then override = byte(record, place) == 97 and 1 or 2 else ends = 0 end
end
if length > 0 then
  record = rolled(record, length)
  local ring = sub(record, 9, 32)
  return { now, override, ends, number_at(record, 4) * 1000, byte(record, 8), total(ring, 6), total(sub(ring, 4), 6) }
end
record = region_rolled(record)
local ring = sub(record, 4, 27)
local unverified, verified = total(ring, 6), total(sub(ring, 4), 6)
local high, low, days = byte(record, 83, 85)
return {
  now, override, ends, unverified, verified, unverified + number_at(record, 28), verified + number_at(record, 32),
  total(sub(record, 60, 71), 3), high * 256 + low, days, byte(record, 114),
}
