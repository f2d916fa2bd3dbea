-- Undo one send that the gateway certainly did not make: once, and no other send. It never creates anything.
--
-- KEYS  1 phone_key; 2… limits: the wider limits to refund [; last money_key]
-- ARGV  1 now: in ms, or ''; 2 operation: the send's id; 3 stays_counted: whether the phone's quota stays spent (0 or 1);
--       4 reserved_ms: when the send was reserved; 5 refunds: what its budgets get back, "name amount;" for each, or ''
--       [; 6… limits: the rates of each]
-- Returns {undone, wait_ms}: undone is 1 if this call undid it, else 0. The wait is until the phone's own limits allow another
--         send

--# include clock phone challenge rolling window

local phone = load_phone(now)
local wait = rolling_wait(phone.sends, SENDS, now)
local name = 's' .. ARGV[2]
local value = field(phone, name)
if not value or byte(value, 13) ~= 112 then return { 0, wait } end
local link = sub(value, 14, 25)
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], name, sub(value, 1, 12) .. 'r' .. sub(value, 14))
else
  redis.call('HDEL', KEYS[1], name)
end
for i, send in ipairs(phone.sends) do
  if send.name == name then table.remove(phone.sends, i) break end
end
local challenge = field(phone, 'c' .. sub(link, 1, 8))
if challenge and sub(challenge, 7, 10) == sub(link, 9) and not challenge_ends(phone, link) then
  redis.call('HDEL', KEYS[1], 'c' .. sub(link, 1, 8))
end
local last_limit = #KEYS
--# if money
if ARGV[5] ~= '' then
  last_limit = last_limit - 1
  --# include refund_money
  refund_money(last_limit + 1, ARGV[5])
end
--# end
for i = 2, last_limit do window_refund(i, ARGV[i + 4], tonumber(ARGV[4])) end
return { 1, wait }
