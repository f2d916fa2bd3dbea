-- The sends of the challenge are unverified again.
do
  local link, records = ARGV[3] .. sub(challenge, 7, 10), {}
  for i = 1, #phone.sends do
    local send = phone.sends[i]
    local name = 'u' .. sub(send.name, 2)
    local record = sub(send.value, 14, 25) == link and field(phone, name)
    if record and byte(record, 7) >= 128 then
      record = sub(record, 1, 6) .. char(byte(record, 7) - 128) .. sub(record, 8)
      redis.call('HSET', KEYS[1], name, record)
      records[#records + 1] = record
    end
  end
  local has_address, verified = (KEYS[ADDRESS_KEY] or KEYS[1]) ~= KEYS[1], -1
  --# include move
end
