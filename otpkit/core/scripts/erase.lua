-- Remove all that is stored about a phone, and forget its devices.
--
-- KEYS  1 device_key: the time up to which the phone's device tokens are void; 2 phone_key; 3 counter_key: its consecutive failures
-- ARGV  1 now: in ms, or ''
-- Returns the number of removed keys

--# include clock

local removed = redis.call('DEL', KEYS[2], KEYS[3]) -- It comes first, so that a full server has room for the rest.
--# include forget
return removed
