-- Write to the audit what an operator is about to do, or how that ended. A repeated run may write it twice: entries of one operation
-- are read as one.
--
-- KEYS  1 stream_key: see append_audit.lua
-- ARGV  1 now: in ms, or ''; 2 operation: its id; 3 action; 4 actor; 5 reason; 6 phone_id; 7 scope; 8 subject; 9 outcome: begun,
--       done, or the code of an error
-- Returns 1

--# include clock append_audit

append(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], '1')
return 1
