-- Encode a time: six bytes, big-endian.

local function pack_ms(ms)
  local f = ms % 256
  ms = (ms - f) / 256
  local e = ms % 256
  ms = (ms - e) / 256
  local d = ms % 256
  ms = (ms - d) / 256
  local c = ms % 256
  ms = (ms - c) / 256
  local b = ms % 256
  return char((ms - b) / 256, b, c, d, e, f)
end
