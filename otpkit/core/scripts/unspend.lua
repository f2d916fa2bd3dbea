-- Give back what a message reserved and did not cost: once, and only while it is remembered.
--
-- KEYS  1 money_key; 2 memory_key: it remembers the charge
-- ARGV  1 now: in ms, or '' (unused); 2 refunds: "name amount;" for each budget; 3 charged_ms: when it was charged; 4 was_sent: 1 if
--       the message was sent for less than was charged, or 0 if nothing was sent
-- Returns 1

--# include clock give_back

if (redis.call('GET', KEYS[2]) or '') ~= '' then
  if ARGV[4] == '1' then
    redis.call('SET', KEYS[2], '', 'KEEPTTL') -- A late run of spend.lua must not charge the message again.
  else
    redis.call('DEL', KEYS[2]) -- A refused message leaves no key.
  end
  money_refund(1, ARGV[2], tonumber(ARGV[3]))
end
return 1
