-- Count the send in its network.
local index = (start - start % ADDRESS_MS) / ADDRESS_MS
local place = 9 + 6 * (index % 4)
if not network then
  local c = index % 256
  local b = (index - c) / 256 % 256
  local zeros = string.rep('\0', 18)
  redis.call('SET', KEYS[NETWORK_KEY], char((index - c - 256 * b) / 65536, b, c) .. '\0\0\0\0\255' .. sub(zeros, 1, place - 9)
    .. '\0\0\1\0\0\0' .. sub(zeros, place - 8), 'PX', '108000000')
elseif network_new then
  --# include records
  network = sub(network, 1, place - 1) .. shifted(network, place, 1, 0) .. sub(network, place + 6)
  --# include write_network
else
  local c = byte(network, place + 2)
  if c < 255 then
    redis.call('SETRANGE', KEYS[NETWORK_KEY], place + 1, char(c + 1))
  else
    --# include records
    redis.call('SETRANGE', KEYS[NETWORK_KEY], place - 1, shifted(network, place, 1, 0))
  end
end
