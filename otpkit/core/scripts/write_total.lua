-- Write a whole record, which lives for 20 days after that. Never shorten its life.
if redis.call('PTTL', KEYS[TOTAL_KEY]) < 1728000000 then
  redis.call('SET', KEYS[TOTAL_KEY], total, 'PX', '1728000000')
else
  redis.call('SET', KEYS[TOTAL_KEY], total, 'KEEPTTL')
end
