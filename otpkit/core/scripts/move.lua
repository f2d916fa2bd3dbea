-- Move the sends of a challenge in the guard's scopes, each in the bucket in which it was counted: from unverified to verified
-- (`verified` is 1), back (-1), or out, because it was not sent (0). `records` are those of the sends, see phone.lua. What is
-- verified is credited to the address that verifies it; what was counted at another one leaves with its window.
--# include records

local function is_current(record)
  local a, b, c = byte(record, 1, 3)
  return (a * 256 + b) * 256 + c == (now - now % ADDRESS_MS) / ADDRESS_MS
end

local unverified = verified == -1 and 1 or -1
for i = 1, #records do
  local record = records[i]
  local at, counted_in = unpack_ms(record, 1), byte(record, 7)
  local value, place
  if counted_in % 2 == 1 then
    value = redis.call('GET', KEYS[RANGE_KEY])
    place = value and place_of(value, 9, at, RANGE_MS)
    if place then redis.call('SETRANGE', KEYS[RANGE_KEY], place - 1, shifted(value, place, unverified, verified)) end
    if has_address and (verified ~= 0 or counted_in % 4 >= 2) then
      local address, network = redis.call('GET', KEYS[ADDRESS_KEY]), redis.call('GET', KEYS[NETWORK_KEY])
      if address and network and is_current(address) and is_current(network) then -- Write in their buckets alone.
        place = place_of(address, 9, at, ADDRESS_MS)
        if place then
          local bucket = shifted(address, place, unverified, verified)
          if verified > 0 and byte(address, 8) > 0 then
            redis.call('SETRANGE', KEYS[ADDRESS_KEY], '7', '\0' .. sub(address, 9, place - 1) .. bucket)
          else
            redis.call('SETRANGE', KEYS[ADDRESS_KEY], place - 1, bucket)
          end
          redis.call('SETRANGE', KEYS[NETWORK_KEY], place - 1, shifted(network, place, unverified, verified))
        end
      else
        --# include rolled
        address, network = rolled(address, ADDRESS_MS), rolled(network, ADDRESS_MS)
        place = place_of(address, 9, at, ADDRESS_MS)
        if place then
          address = sub(address, 1, place - 1) .. shifted(address, place, unverified, verified) .. sub(address, place + 6)
          network = sub(network, 1, place - 1) .. shifted(network, place, unverified, verified) .. sub(network, place + 6)
          if verified > 0 then address = sub(address, 1, 7) .. '\0' .. sub(address, 9) end
          --# include write_address write_network
        end
      end
    end
  end
  if counted_in % 8 >= 4 then
    value = redis.call('GET', KEYS[REGION_KEY])
    place = value and place_of(value, 4, at, SHORT_MS)
    if place then redis.call('SETRANGE', KEYS[REGION_KEY], place - 1, shifted(value, place, unverified, verified)) end
  end
  --# if total
  if counted_in % 16 >= 8 then
    value = redis.call('GET', KEYS[TOTAL_KEY])
    place = value and place_of(value, 4, at, SHORT_MS)
    if place then redis.call('SETRANGE', KEYS[TOTAL_KEY], place - 1, shifted(value, place, unverified, verified)) end
  end
  --# end
  if counted_in % 32 >= 16 and verified ~= 0 then
    value = redis.call('GET', KEYS[REGION_KEY])
    if value then
      --# include guesses
      redis.call('SETRANGE', KEYS[REGION_KEY], guess_place(at) - 1, guessed_by(value, at, unverified))
    end
  end
end
