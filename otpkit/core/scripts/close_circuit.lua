-- Close the circuit of a gateway: forget its failures, and that an operator opened it. Its last error stays.
--
-- KEYS  1 gateways_key: see record_failure.lua; 2 notes_key: see note_gateway.lua
-- ARGV  1 now: in ms, or ''; 2 name
-- Returns 1

redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], 'H:' .. ARGV[2])
return 1
