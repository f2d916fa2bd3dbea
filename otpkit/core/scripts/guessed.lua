-- Count the challenge as guessed at, once. It is counted before that is recorded: if the record is refused, the guess counts
-- until it leaves with its window.
if records[1] and not guessed and byte(ARGV[7], 2) == 49 then
  --# include records region
  local record = records[1]
  local region = redis.call('HGET', KEYS[9], sub(record, 10))
  region = region_rolled(region or EMPTY_REGION, now)
  redis.call('HSET', KEYS[9], sub(record, 10), region_added(region, unpack_ms(record, 1), 0, 0, 1))
  if redis.call('PTTL', KEYS[9]) < DAY_MS then redis.call('PEXPIRE', KEYS[9], '1728000000') end
  redis.call('HSET', KEYS[1], names[1], sub(record, 1, 6) .. char(byte(record, 7) + 16) .. sub(record, 8))
end
