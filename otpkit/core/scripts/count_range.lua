-- Count the send in its range.
local index = (start - start % RANGE_MS) / RANGE_MS
local place = 9 + 6 * (index % 4)
if not range then
  local c = index % 256
  local b = (index - c) / 256 % 256
  local zeros = string.rep('\0', 18)
  redis.call('SET', KEYS[RANGE_KEY], char((index - c - 256 * b) / 65536, b, c) .. '\0\0\0\0\255' .. sub(zeros, 1, place - 9)
    .. '\0\0\1\0\0\0' .. sub(zeros, place - 8), 'PX', '108000000')
elseif range_new then
  --# include records
  range = sub(range, 1, place - 1) .. shifted(range, place, 1, 0) .. sub(range, place + 6)
  --# include write_range
else
  local c = byte(range, place + 2)
  if c < 255 then
    redis.call('SETRANGE', KEYS[RANGE_KEY], place + 1, char(c + 1))
  else
    --# include records
    redis.call('SETRANGE', KEYS[RANGE_KEY], place - 1, shifted(range, place, 1, 0))
  end
end
