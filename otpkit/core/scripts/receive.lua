-- Record the delivery of a send. It never creates anything, and a repeated receipt changes nothing.
--
-- KEYS  1 phone_key; 2 stats_key: see fold.lua, or the phone's
-- ARGV  1 now: in ms, or '', then the label: see tally.lua; 2 operation: the send's id, or at least its first 9 bytes, or ''; 3 served_by: the gateway's record,
--       which identifies the send without an id; 4 state: d(elivered) or f(ailed)
-- Returns {elapsed_ms} if that is new: the time since the send; else {}
--
-- A delivery is counted in a bucket of that time: 0 is less than 256 ms; behind it, each doubling has four buckets, up to 18 hours.
-- If the send is not settled yet, its value gets a byte more: settle.lua then counts the send, and removes the byte.

--# include clock phone

local phone = load_phone(now)

local function is_meant(send)
  if ARGV[2] ~= '' then return sub(send.name, 2, 1 + #ARGV[2]) == ARGV[2] end
  return field(phone, 'g' .. sub(send.name, 2)) == ARGV[3]
end

for _, send in ipairs(phone.sends) do
  if is_meant(send) then
    local state = sub(send.value, 13, 13)
    -- A delivered send stays delivered: receipts may arrive out of order.
    if state == 'r' or state == 'd' or state == ARGV[4] then return {} end
    -- Two gateways may have got the message. A failure of one says nothing about the other, which served.
    local served = string.match(field(phone, 'g' .. sub(send.name, 2)) or '', '^%S+')
    if ARGV[4] == 'f' and served and served ~= string.match(ARGV[3], '^%S+') then return {} end
    local is_early = state == 'p' and label ~= ''
    redis.call('HSET', KEYS[1], send.name, sub(send.value, 1, 12) .. ARGV[4] .. sub(send.value, 14) .. (is_early and '\0' or ''))
    local elapsed = now - send.time
    if label ~= '' then
      local bucket = ''
      if ARGV[4] == 'd' then
        local ms, doublings = elapsed, 0
        while ms >= 512 and doublings < 18 do ms, doublings = (ms - ms % 2) / 2, doublings + 1 end
        bucket = elapsed < 256 and 0 or 1 + 4 * doublings + min(3, (ms - ms % 64 - 256) / 64)
      end
      local figure, what = label, ARGV[4] .. bucket
      --# include tally
    end
    return { elapsed }
  end
end
return {}
