-- The challenge is guessed at, once: let the caller count that on the region's node.
if records[1] and not guessed and #records[1] >= 15 then
  --# include moved
  local record = records[1]
  redis.call('HSET', KEYS[1], names[1], sub(record, 1, 6) .. char(byte(record, 7) + 16) .. sub(record, 8, 15) .. op)
  local move = move_of(names[1], record)
  if blocks then return { operation, 'wrong', left, 0, move, 1, apart } end
  return { operation, 'wrong', left, 0, move, apart }
end
