-- Keep a fact about a gateway: its last error, or that an operator opened its circuit.
--
-- KEYS  1 notes_key: for each gateway 'E:name', "at category code" of its last error, and 'H:name', the ms at which a circuit that
--       was opened by hand closes
-- ARGV  1 now: in ms, or ''; 2 field; 3 value: for 'E:' the category and the code, for 'H:' the ms that it stays open
-- Returns 1

--# include clock

local MEMORY_MS = 604800000 -- A week; it is longer than any circuit is open by hand.

local value = string.sub(ARGV[2], 1, 1) == 'H' and string.format('%.0f', now + ARGV[3]) or string.format('%.0f %s', now, ARGV[3])
redis.call('HSET', KEYS[1], ARGV[2], value)
redis.call('PEXPIRE', KEYS[1], MEMORY_MS)
return 1
