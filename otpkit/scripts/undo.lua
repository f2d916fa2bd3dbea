-- Undo one send that the gateway certainly did not make: once, and that send alone. It never creates anything.
--
-- KEYS  1 the phone; 2… the wider limits to give back
-- ARGV  1 now in ms, or ''; 2 operation id of the send; 3 whether the phone's quota stays spent (0 or 1); 4 when the send was
--       reserved, in ms; 5… the rates of each wider limit
-- Returns {1 if this call undid it, else 0; ms until the phone's own limits allow another send}

--# include base phone window

local key = KEYS[1]
local now = server_now()
local phone = load_phone(key, now)
local send, wait = find(phone.sends, ARGV[2]), rolling_wait(phone.sends, SENDS, now)
if not send or send.state ~= 'p' then return { 0, wait } end
send.state = 'r'
if ARGV[3] == '1' then write(key, 's', send) else redis.call('HDEL', key, 's' .. send.op) end
for slot, challenge in pairs(phone.challenges) do
  if challenge.link == send.link and not challenge_ends(phone, challenge) then redis.call('HDEL', key, 'c' .. slot) end
end
for i = 2, #KEYS do window_give(KEYS[i], ARGV[i + 3], tonumber(ARGV[4])) end
return { 1, wait }
