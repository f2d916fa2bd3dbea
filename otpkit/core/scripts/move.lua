-- Move the sends of a challenge in the guard's scopes, each in the bucket in which it was counted: from unverified to verified
-- (`verified` is 1), back (-1), or out, because it was not sent (0). `records` are those of the sends, see phone.lua. What is
-- verified is credited to the address that verifies it; what was counted at another one leaves with its window. Offsets are
-- text: converting a number for each command takes as long as the command.
--# include records
local unverified = verified == -1 and 1 or -1
for i = 1, #records do
  local at, counted_in = unpack_ms(records[i], 1), byte(records[i], 7)
  if counted_in % 2 == 1 then
    local value = redis.call('GET', KEYS[RANGE_KEY])
    if value then
      local a, b, c = byte(value, 1, 3)
      local index = (at - at % RANGE_MS) / RANGE_MS
      local age, quarter = (a * 256 + b) * 256 + c - index, index % 4
      if age >= 0 and age < 4 then
        local offset = quarter == 0 and '8' or quarter == 1 and '14' or quarter == 2 and '20' or '26'
        redis.call('SETRANGE', KEYS[RANGE_KEY], offset, shifted(value, 9 + 6 * quarter, unverified, verified))
      end
    end
    if has_address and (verified ~= 0 or counted_in % 4 >= 2) then
      local index, current = (at - at % ADDRESS_MS) / ADDRESS_MS, (now - now % ADDRESS_MS) / ADDRESS_MS
      if index <= current and current - index < 4 then
        local c, quarter = current % 256, index % 4
        local b, place = (current - c) / 256 % 256, 9 + 6 * quarter
        local newest = char((current - c - 256 * b) / 65536, b, c)
        local offset = quarter == 0 and '8' or quarter == 1 and '14' or quarter == 2 and '20' or '26'
        --# include one_verified move_address move_network
      end
    end
  end
  local index = (at - at % SHORT_MS) / SHORT_MS
  local quarter = index % 4
  if counted_in % 8 >= 4 then
    local value = redis.call('GET', KEYS[REGION_KEY])
    if value then
      local a, b, c = byte(value, 1, 3)
      local age = (a * 256 + b) * 256 + c - index
      if age >= 0 and age < 4 then
        local offset = quarter == 0 and '3' or quarter == 1 and '9' or quarter == 2 and '15' or '21'
        redis.call('SETRANGE', KEYS[REGION_KEY], offset, shifted(value, 4 + 6 * quarter, unverified, verified))
      end
    end
  end
  --# if total
  if counted_in % 16 >= 8 then
    local value = redis.call('GET', KEYS[TOTAL_KEY])
    if value then
      local a, b, c = byte(value, 1, 3)
      local age = (a * 256 + b) * 256 + c - index
      if age >= 0 and age < 4 then
        local offset = quarter == 0 and '3' or quarter == 1 and '9' or quarter == 2 and '15' or '21'
        redis.call('SETRANGE', KEYS[TOTAL_KEY], offset, shifted(value, 4 + 6 * quarter, unverified, verified))
      end
    end
  end
  --# end
  if counted_in % 32 >= 16 and verified ~= 0 then
    local value = redis.call('GET', KEYS[REGION_KEY])
    if value then
      --# include guesses
      redis.call('SETRANGE', KEYS[REGION_KEY], guess_place(at) - 1, guessed_by(value, at, unverified))
    end
  end
end
