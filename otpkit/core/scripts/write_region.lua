-- Write a whole record, which lives for 20 days after that. Never shorten its life.
if redis.call('PTTL', KEYS[REGION_KEY]) < 1728000000 then
  redis.call('SET', KEYS[REGION_KEY], region, 'PX', '1728000000')
else
  redis.call('SET', KEYS[REGION_KEY], region, 'KEEPTTL')
end
