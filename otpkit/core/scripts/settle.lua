-- Settle a send that was not rejected: record its outcome, and move its time to the gateway's answer, where the carrier's own
-- windows start. It never creates anything.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or ''; 2 operation: the send's id; 3 outcome: a(ccepted) or u(ncertain); 4 served_by: who served it, or ''
-- Returns {now_ms, resend_ms, sends_left}, or {} where the send is gone

--# include clock phone describe

local phone = load_phone(now)
for i, send in ipairs(phone.sends) do
  if send.name == 's' .. ARGV[2] then
    if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'g' .. ARGV[2], ARGV[4]) end
    if byte(send.value, 13) == 112 then
      local value = pack_ms(now) .. sub(send.value, 7, 12) .. ARGV[3] .. sub(send.value, 14)
      redis.call('HSET', KEYS[1], send.name, value)
      if now - send.time >= SETTLE_MS then keep(phone, DAY_MS) end
      table.insert(phone.sends, 1, table.remove(phone.sends, i))
      send.time = now
    end
    return { now, resend_at(phone), rolling_left(phone.sends, SEND_RATES, now) }
  end
end
return {}
