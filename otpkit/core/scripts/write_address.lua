-- Write a whole record, which lives for 30 hours after that. Never shorten its life.
if redis.call('PTTL', KEYS[ADDRESS_KEY]) < 108000000 then
  redis.call('SET', KEYS[ADDRESS_KEY], address, 'PX', '108000000')
else
  redis.call('SET', KEYS[ADDRESS_KEY], address, 'KEEPTTL')
end
