-- Give back what a message reserved and did not cost: once, and only while it is remembered.
--
-- KEYS  1 money_key; 2 memory_key: it remembers the charge
-- ARGV  1 now: in ms, or '' (unused); 2 refunds: "name amount;" for each budget; 3 charged_ms: when it was charged
-- Returns 1

--# include clock give_back

if redis.call('DEL', KEYS[2]) == 1 then money_refund(1, ARGV[2], tonumber(ARGV[3])) end
return 1
