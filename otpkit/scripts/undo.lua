-- Undo one send that the gateway certainly did not make: once, and that send alone. It never creates anything.
--
-- KEYS  1 the phone; 2… the wider limits to give back
-- ARGV  1 now in ms, or ''; 2 operation id of the send; 3 whether the phone's quota stays spent (0 or 1); 4 when the send was
--       reserved, in ms; 5… the rates of each wider limit
-- Returns 1 if this call undid it, else 0

local now = server_now()
local phone = load_phone(KEYS[1], now)
local send = find(phone.sends, ARGV[2])
if not send or send.state ~= 'p' then return 0 end
if ARGV[3] == '1' then
  send.state = 'r'
  write_send(KEYS[1], send)
else
  redis.call('HDEL', KEYS[1], 's' .. send.op)
  for i, other in ipairs(phone.sends) do
    if other == send then table.remove(phone.sends, i) break end
  end
end
local challenge = phone.challenges[send.slot]
if challenge and challenge.generation == send.generation and not challenge_ends(phone, challenge) then
  redis.call('HDEL', KEYS[1], 'c' .. send.slot)
end
for i = 2, #KEYS do window_give(KEYS[i], ARGV[i + 3], tonumber(ARGV[4])) end
return 1
