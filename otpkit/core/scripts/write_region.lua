-- Write a whole record, which lives for 20 days after that. Never shorten its life.
if redis.call('PTTL', KEYS[10]) < 1728000000 then
  redis.call('SET', KEYS[10], region, 'PX', '1728000000')
else
  redis.call('SET', KEYS[10], region, 'KEEPTTL')
end
