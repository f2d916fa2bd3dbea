-- Move the send in the network of the visitor, whose newest bucket is then the current one.
local network = redis.call('GET', KEYS[NETWORK_KEY])
if not network and verified == 1 then
  redis.call('SET', KEYS[NETWORK_KEY], newest .. '\0\0\0\0\255' .. ring, 'PX', '108000000')
elseif network and sub(network, 1, 3) == newest then
  redis.call('SETRANGE', KEYS[NETWORK_KEY], offset, shifted(network, place, unverified, verified))
else
  --# include rolled
  network = rolled(network, ADDRESS_MS)
  network = sub(network, 1, place - 1) .. shifted(network, place, unverified, verified) .. sub(network, place + 6)
  --# include write_network
end
