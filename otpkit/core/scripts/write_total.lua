-- Write a whole record, which lives for 20 days after that. Never shorten its life.
if redis.call('PTTL', KEYS[13]) < 1728000000 then
  redis.call('SET', KEYS[13], total, 'PX', '1728000000')
else
  redis.call('SET', KEYS[13], total, 'KEEPTTL')
end
