-- The sends of the challenge are unverified again. Nothing was moved yet on other nodes.
do
  local link = ARGV[3] .. sub(challenge, 7, 10)
  for i = 1, #phone.sends do
    local send = phone.sends[i]
    local name = 'u' .. sub(send.name, 2)
    local record = sub(send.value, 14, 25) == link and field(phone, name)
    if record and byte(record, 7) >= 128 then
      redis.call('HSET', KEYS[1], name, sub(record, 1, 6) .. char(byte(record, 7) - 128) .. sub(record, 8, 31))
    end
  end
end
