-- Count the send in its network. Offsets are text: converting a number for each command takes as long as the command.
local index = (start - start % ADDRESS_MS) / ADDRESS_MS
local quarter = index % 4
if not network then
  --# include one_unverified
  local c = index % 256
  local b = (index - c) / 256 % 256
  redis.call('SET', KEYS[NETWORK_KEY], char((index - c - 256 * b) / 65536, b, c) .. '\0\0\0\0\255' .. ring, 'PX', '108000000')
elseif network_new then
  --# include records
  local place = 9 + 6 * quarter
  network = sub(network, 1, place - 1) .. shifted(network, place, 1, 0) .. sub(network, place + 6)
  --# include write_network
else
  local c = byte(network, 11 + 6 * quarter)
  if c < 255 then
    local offset = quarter == 0 and '10' or quarter == 1 and '16' or quarter == 2 and '22' or '28'
    redis.call('SETRANGE', KEYS[NETWORK_KEY], offset, char(c + 1))
  else
    --# include records
    redis.call('SETRANGE', KEYS[NETWORK_KEY], 8 + 6 * quarter, shifted(network, 9 + 6 * quarter, 1, 0))
  end
end
