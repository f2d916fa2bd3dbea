-- Write the records of an address and its network. They live for at least a day after their last use.
if redis.call('PTTL', KEYS[7]) < DAY_MS then
  redis.call('SET', KEYS[7], address, 'PX', '108000000')
else
  redis.call('SET', KEYS[7], address, 'KEEPTTL')
end
if redis.call('PTTL', KEYS[8]) < DAY_MS then
  redis.call('SET', KEYS[8], network, 'PX', '108000000')
else
  redis.call('SET', KEYS[8], network, 'KEEPTTL')
end
