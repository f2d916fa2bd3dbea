-- The sends of the challenge are verified. Their records are removed first, so that nothing is taken back twice. The command
-- that removes the first one also removes the challenge, which is used up already.
if REPLICAS == 0 then
  if records[1] then redis.call('HDEL', KEYS[1], name, names[1]) else redis.call('HDEL', KEYS[1], name) end
  for i = 2, #names do redis.call('HDEL', KEYS[1], names[i]) end
else
  for i = 1, #names do -- Keep them: unverify.lua restores what they count.
    redis.call('HSET', KEYS[1], names[i], sub(records[i], 1, 6) .. char(byte(records[i], 7) + 128) .. sub(records[i], 8))
  end
end
if records[1] then
  local has_address, verified = (KEYS[ADDRESS_KEY] or KEYS[1]) ~= KEYS[1], 1
  --# include move
end
