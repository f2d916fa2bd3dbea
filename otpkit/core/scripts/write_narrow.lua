-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[1]) < 108000000 then
  redis.call('SET', KEYS[1], record, 'PX', '108000000')
else
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
end
