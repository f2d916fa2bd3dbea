-- Move sends of the guard's scopes, each in the bucket in which it was counted: from unverified to verified (`verified` is 1),
-- back (-1), or out, because it was not sent (0). `records` are those of the sends, see phone.lua. The guard's argument is the
-- flag `address`, 1 if the visitor's address is known, and the flag `guesses`, 1 if guesses are counted. What was verified is
-- credited to the address that verifies it; what was counted at another one leaves with its window.

local function move(guard, records, verified)
  local unverified = verified == -1 and 1 or -1
  local range, address, network, total
  local regions, names, has_address = {}, {}, byte(guard, 1) == 49
  for i = 1, #records do
    local record = records[i]
    local at, counted_in = unpack_ms(record, 1), byte(record, 7)
    if counted_in % 2 == 1 then
      range = range or redis.call('GET', KEYS[6])
      if range then range = added(range, at, RANGE_MS, unverified, verified) end
      if has_address and (verified ~= 0 or counted_in % 4 >= 2) then
        address = address or rolled(redis.call('GET', KEYS[7]) or EMPTY, now, ADDRESS_MS)
        network = network or rolled(redis.call('GET', KEYS[8]) or EMPTY, now, ADDRESS_MS)
        address = added(address, at, ADDRESS_MS, unverified, verified)
        network = added(network, at, ADDRESS_MS, unverified, verified)
      end
    end
    if counted_in % 8 >= 4 then
      local name = sub(record, 10)
      local region = regions[name] or redis.call('HGET', KEYS[9], name)
      if region then
        if not regions[name] then names[#names + 1] = name end
        regions[name] = region_added(region, at, unverified, verified, 0)
      end
    end
    if counted_in % 16 >= 8 then
      total = total or redis.call('HGET', KEYS[9], '*')
      if total then total = region_added(total, at, unverified, verified, 0) end
    end
    if counted_in % 32 >= 16 and verified ~= 0 then
      local name = sub(record, 10)
      local region = regions[name] or redis.call('HGET', KEYS[9], name)
      if region then
        if not regions[name] then names[#names + 1] = name end
        regions[name] = region_added(region, at, 0, 0, unverified)
      end
    end
  end
  if range then redis.call('SET', KEYS[6], range, 'XX', 'KEEPTTL') end
  if address then
    --# include keep_address
  end
  for i = 1, #names do redis.call('HSET', KEYS[9], names[i], regions[names[i]]) end
  if total then redis.call('HSET', KEYS[9], '*', total) end
end
