-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[RANGE_KEY]) < 108000000 then
  redis.call('SET', KEYS[RANGE_KEY], range, 'PX', '108000000')
else
  redis.call('SET', KEYS[RANGE_KEY], range, 'KEEPTTL')
end
