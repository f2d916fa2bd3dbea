-- Count the challenge as guessed at, once. It is counted before that is recorded: if the record is refused, the guess counts
-- until it leaves with its window.
if records[1] and not guessed then
  --# include records rolled region guesses
  local record, at = records[1], unpack_ms(records[1], 1)
  local region = region_rolled(redis.call('GET', KEYS[REGION_KEY]))
  local place = guess_place(at)
  region = sub(region, 1, place - 1) .. guessed_by(region, at, 1) .. sub(region, place + 3)
  --# include write_region
  redis.call('HSET', KEYS[1], names[1], sub(record, 1, 6) .. char(byte(record, 7) + 16) .. sub(record, 8))
end
