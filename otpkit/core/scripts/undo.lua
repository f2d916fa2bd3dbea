-- Undo one send that the gateway certainly did not make: once, and that send alone. It never creates anything.
--
-- KEYS  1 the phone; 2… the wider limits to give back
-- ARGV  1 now in ms, or ''; 2 operation id of the send; 3 whether the phone's quota stays spent (0 or 1); 4 when the send was
--       reserved, in ms; 5… the rates of each wider limit
-- Returns {1 if this call undid it, else 0; ms until the phone's own limits allow another send}

--# include base phone window

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
for i = 2, #KEYS do window_give(i, ARGV[i + 3], tonumber(ARGV[4])) end
return { 1, wait }
