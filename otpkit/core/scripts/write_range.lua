-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[9]) < 108000000 then
  redis.call('SET', KEYS[9], range, 'PX', '108000000')
else
  redis.call('SET', KEYS[9], range, 'KEEPTTL')
end
