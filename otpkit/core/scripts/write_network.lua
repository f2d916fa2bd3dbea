-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[12]) < 108000000 then
  redis.call('SET', KEYS[12], network, 'PX', '108000000')
else
  redis.call('SET', KEYS[12], network, 'KEEPTTL')
end
