-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[11]) < 108000000 then
  redis.call('SET', KEYS[11], address, 'PX', '108000000')
else
  redis.call('SET', KEYS[11], address, 'KEEPTTL')
end
