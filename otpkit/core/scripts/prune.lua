-- Remove what no rule needs any more, after one more send or wrong code was written. `written` is the challenge written
-- with it.

local MOST_SENDS, MOST_FAILURES = 32, 64

local function prune(phone, written)
  local now, gone = phone.now, {}
  for i, send in ipairs(phone.sends) do
    if (i >= MOST_SENDS or send.time <= now - DAY_MS) and unpack_ms(send.value, 7) <= now then
      gone[#gone + 1] = send.name
      gone[#gone + 1] = 'g' .. sub(send.name, 2)
      --# if money
      gone[#gone + 1] = 'm' .. sub(send.name, 2)
      --# end
    end
  end
  for i, failure in ipairs(phone.failures) do
    if i >= MOST_FAILURES or failure.time <= now - DAY_MS then gone[#gone + 1] = failure.name end
  end
  for i = 1, #phone.fields, 2 do
    local name, value = phone.fields[i], phone.fields[i + 1]
    local kind = byte(name)
    if (kind == 99 and name ~= written and not live_challenge(phone, sub(name, 2)))
      or (kind == 112 and unpack_ms(value, 7) <= now)
      or (kind == 117 and unpack_ms(value, 1) <= now - DAY_MS) then
      gone[#gone + 1] = name
      if kind == 112 then gone[#gone + 1] = 'r' .. sub(name, 2) end
    end
  end
  for _, name in ipairs(gone) do redis.call('HDEL', KEYS[1], name) end
end
