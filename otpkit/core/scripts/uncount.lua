-- Take back what the send counts in, once: its record is removed first.
if (ARGV[6] or '') ~= '' then
  local record = field(phone, 'u' .. ARGV[2])
  if record then
    redis.call('HDEL', KEYS[1], 'u' .. ARGV[2])
    local has_address, verified, records = (KEYS[ADDRESS_KEY] or KEYS[1]) ~= KEYS[1], 0, { record }
    --# include move
  end
end
