-- Move the send in the address of the visitor, whose newest bucket is then the current one.
local address = redis.call('GET', KEYS[ADDRESS_KEY])
if not address and verified == 1 then
  redis.call('SET', KEYS[ADDRESS_KEY], newest .. '\0\0\0\0\0' .. ring, 'PX', '108000000')
elseif address and sub(address, 1, 3) == newest then
  local bucket = shifted(address, place, unverified, verified)
  if verified == 1 and byte(address, 8) > 0 then
    redis.call('SETRANGE', KEYS[ADDRESS_KEY], '7', '\0' .. sub(address, 9, place - 1) .. bucket)
  else
    redis.call('SETRANGE', KEYS[ADDRESS_KEY], offset, bucket)
  end
else
  --# include rolled
  address = rolled(address, ADDRESS_MS)
  address = sub(address, 1, place - 1) .. shifted(address, place, unverified, verified) .. sub(address, place + 6)
  if verified == 1 then address = sub(address, 1, 7) .. '\0' .. sub(address, 9) end
  --# include write_address
end
