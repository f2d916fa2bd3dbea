-- The sends of the challenge are verified. Their records are removed first, so that nothing is taken back twice.
if records[1] and ARGV[8] then
  for i = 1, #names do
    if REPLICAS > 0 then -- Keep them: unverify.lua restores what they count.
      redis.call('HSET', KEYS[1], names[i], sub(records[i], 1, 6) .. char(byte(records[i], 7) + 128) .. sub(records[i], 8))
    else
      redis.call('HDEL', KEYS[1], names[i])
    end
  end
  local has_address, verified = byte(ARGV[8], 1) == 49, 1
  --# include move
end
