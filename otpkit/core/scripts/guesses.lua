-- Count guesses: challenges with a wrong code and no right one, in buckets of 6 hours.

local function guess_place(at)
  return 60 + 3 * ((at - at % RANGE_MS) / RANGE_MS % 4)
end

-- Return the bucket of guesses of a time, with `more` of them. A bucket that has left the window stays as it is.
local function guessed_by(record, at, more)
  local a, b, c = byte(record, 1, 3)
  local place, newest = guess_place(at), (a * 256 + b) * 256 + c
  local age = (newest - newest % 72) / 72 - (at - at % RANGE_MS) / RANGE_MS
  if age < 0 or age > 3 then more = 0 end
  a, b, c = byte(record, place, place + 2)
  more = max(0, (a * 256 + b) * 256 + c + more)
  c = more % 256
  more = (more - c) / 256
  b = more % 256
  return char((more - b) / 256, b, c)
end
