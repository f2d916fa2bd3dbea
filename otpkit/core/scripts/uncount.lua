-- Take back what the send counts in, once: its record is removed first.
if ARGV[5] ~= '' then
  local record = field(phone, 'u' .. ARGV[2])
  if record then
    --# include move
    redis.call('HDEL', KEYS[1], 'u' .. ARGV[2])
    move(byte(ARGV[5], 1) == 49, { record }, 0)
  end
end
