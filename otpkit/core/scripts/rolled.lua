-- Move a record of a range, an address or a network on to the time, so that its newest bucket is the current one.

local EMPTY = '\0\0\0\0\0\0\0\255' .. string.rep('\0', 24)

local function pack_index(index)
  local c = index % 256
  index = (index - c) / 256
  local b = index % 256
  return char((index - b) / 256, b, c)
end

-- Return a ring of buckets of `size` bytes without those that the indices after `newest`, up to `index`, replace.
local function cleared(ring, size, newest, index)
  if index - newest >= 4 then return string.rep('\0', 4 * size) end
  for i = newest + 1, index do
    local place = size * (i % 4)
    ring = sub(ring, 1, place) .. string.rep('\0', size) .. sub(ring, place + size + 1)
  end
  return ring
end

local function rolled(record, length)
  local index = (now - now % length) / length
  record = record or EMPTY
  local a, b, c, _, _, _, _, quiet = byte(record, 1, 8)
  local newest = (a * 256 + b) * 256 + c
  -- A time in the future (after a failover to a slower clock) is now: the buckets keep their order.
  if newest > index then return pack_index(index) .. sub(record, 4) end
  return pack_index(index) .. sub(record, 4, 7) .. char(min(255, quiet + index - newest))
    .. cleared(sub(record, 9, 32), 6, newest, index) .. sub(record, 33)
end
