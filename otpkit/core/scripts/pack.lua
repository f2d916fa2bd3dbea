-- Encode a time: six bytes, big-endian. `char` cuts off what is behind the point.

local function pack_ms(ms)
  return char(ms / 1099511627776, ms / 4294967296 % 256, ms / 16777216 % 256, ms / 65536 % 256, ms / 256 % 256, ms % 256)
end
