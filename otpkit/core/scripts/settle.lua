-- Settle a send that was not rejected: record its outcome, and move its time to the gateway's answer, when the carrier's
-- own windows start. It never creates anything.
--
-- KEYS  1 phone_key; 2 stats_key: see fold.lua, or the phone's [; RANGE_KEY… guard_keys: see reserve.lua; MONEY_KEY money_key]
-- ARGV  1 now: in ms, or '', then what is counted: see tally.lua; 2 operation: the send's id; 3 outcome: a(ccepted) or u(ncertain); 4 served_by: the gateway's record, or ''
--       [; 5 refunds: what its budgets get back, "name amount;" for each, or ''; 6 guard: 1 if the guard shall not count the send, or '';
--       7 device: 1 if the send was reserved with a valid device token, or 0
--       [; 8… figures: what else is counted]
-- Returns {now_ms, resend_ms, sends_left}, or {} if the send is gone

--# include clock phone rolling

local rates, name = ARGV[7] == '1' and SENDS or STRANGER_SENDS, 's' .. ARGV[2]
local phone = load_phone(now)
local sends = phone.sends
for i = 1, #sends do
  local send = sends[i]
  if send.name == name then
    if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'g' .. ARGV[2], ARGV[4]) end
    local value = send.value
    local is_news = byte(value, 13) == 112
    if is_news then
      -- Encoded as in pack.lua. Defining and calling its function would cost a hundredth of a call.
      local time = char(now / 1099511627776, now / 4294967296 % 256, now / 16777216 % 256, now / 65536 % 256, now / 256 % 256, now % 256)
      redis.call('HSET', KEYS[1], name, time .. sub(value, 7, 12) .. ARGV[3] .. sub(value, 14))
      if now - send.time >= SETTLE_MS then
        --# include keep
        keep(phone, DAY_MS)
      end
      --# guard uncount
      if i > 1 then table.insert(sends, 1, table.remove(sends, i)) end
      send.time = now
    end
    --# if money
    if ARGV[5] == '' then
      redis.call('HDEL', KEYS[1], 'm' .. ARGV[2]) -- Nearly all messages cost what was reserved.
    elseif ARGV[5] then
      --# include refund_money
      refund_money(MONEY_KEY, phone, ARGV[5])
    end
    --# end
    if not is_news and (#value == 26 or #value == 34) then -- A receipt was faster than this call: see receive.lua.
      redis.call('HSET', KEYS[1], name, sub(value, 1, #value - 1))
      is_news = true
    end
    if is_news and label ~= '' then
      local figure, what = label, ''
      --# include tally
      for i = 8, #ARGV do
        figure = ARGV[i]
        --# include tally
      end
    end
    return { now, now + rolling_wait(sends, rates, now), rolling_left(sends, rates, now) }
  end
end
return {}
