-- The sends of the challenge are verified. Mark their records, so that nothing is moved twice, and let the caller move what they
-- count on other nodes.
if REPLICAS == 0 then redis.call('HDEL', KEYS[1], name) end
if records[1] then
  --# include moved
  local moves = ''
  for i = 1, #names do
    local record = records[i]
    local scopes = byte(record, 7)
    if scopes < 128 and #record >= 15 then
      local guess = #record >= 31 and sub(record, 16, 31) or string.rep('\0', 16)
      redis.call('HSET', KEYS[1], names[i], sub(record, 1, 6) .. char(scopes + 128) .. sub(record, 8, 15) .. guess .. op)
      moves = moves .. move_of(names[i], record)
    end
  end
  if consecutive > 0 then redis.call('DEL', KEYS[2]) end
  return { operation, 'proved', now, now + PROOF_TTL, fixed, 0, moves, apart }
end
