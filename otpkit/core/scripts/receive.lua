-- Record the delivery of a send. It never creates anything, and a repeated receipt changes nothing.
--
-- KEYS  1 phone_key
-- ARGV  1 now: in ms, or ''; 2 operation: the send's id, or at least its first 9 bytes, or ''; 3 served_by: the gateway's record,
--       which identifies the send without an id; 4 state: d(elivered) or f(ailed)
-- Returns 1 if that is new, else 0

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
    if state == 'r' or state == 'd' or state == ARGV[4] then return 0 end
    -- Two gateways may have got the message. A failure of one says nothing about the other, which served.
    local served = string.match(field(phone, 'g' .. sub(send.name, 2)) or '', '^%S+')
    if ARGV[4] == 'f' and served and served ~= string.match(ARGV[3], '^%S+') then return 0 end
    redis.call('HSET', KEYS[1], send.name, sub(send.value, 1, 12) .. ARGV[4] .. sub(send.value, 14))
    return 1
  end
end
return 0
