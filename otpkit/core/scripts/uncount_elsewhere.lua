-- Let a verification find no more what the send counts in. The caller takes that back on other nodes.
if (ARGV[6] or '') ~= '' then
  local record = field(phone, 'u' .. ARGV[2])
  if record and byte(record, 7) < 128 then redis.call('HDEL', KEYS[1], 'u' .. ARGV[2]) end
end
