-- Undo one send that the gateway certainly did not make: once, and no other send. It never creates anything.
--
-- KEYS  1 phone_key; 2 stats_key: see fold.lua, or the phone's [; RANGE_KEY… guard_keys: see reserve.lua; MONEY_KEY money_key; FIRST_LIMIT… limits: the wider limits to refund]
-- ARGV  1 now: in ms, or '', then what is counted, one a line: see tally.lua; 2 operation: the send's id; 3 stays_counted: whether the phone's quota stays spent (0 or 1);
--       4 reserved_ms: when the send was reserved; 5 device: 1 if it was with a valid device token, or 0; 6 guard: 1 if the guard
--       shall not count the send, or ''; 7 refunds: what its budgets get back, "name amount;" for each, or '' [; 8… limits: the rates of each]
-- Returns {undone, wait_ms}: undone is 1 if the send is undone, now or by an earlier run whose reply was lost, or gone, and 0 if it
--         has a receipt. The wait is until the phone's own limits allow another send

--# include clock phone challenge rolling window

local phone = load_phone(now)
local wait = rolling_wait(phone.sends, ARGV[5] == '1' and SENDS or STRANGER_SENDS, now)
local name = 's' .. ARGV[2]
local value = field(phone, name)
local state = value and byte(value, 13) or 114
if state ~= 112 then return { state == 114 and 1 or 0, wait } end
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
--# if money
if ARGV[7] ~= '' then
  --# include refund_money
  refund_money(MONEY_KEY, phone, ARGV[7])
end
--# end
for i = 8, #ARGV do window_refund(FIRST_LIMIT + i - 8, ARGV[i], tonumber(ARGV[4])) end
--# guard uncount
if label ~= '' then
  for figure in string.gmatch(label, '[^\n]+') do
    local what = ''
    --# include tally
  end
end
return { 1, wait }
