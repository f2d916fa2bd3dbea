-- Check a device token whose signature is right.
--
-- KEYS  1 device_key: the time up to which the phone's device tokens are void
-- ARGV  1 now: in ms, or ''; 2 device_since: the time of the verification that made the token, in ms
-- Returns 1 if it is valid, else 0

--# include clock device

return is_valid_device(1, tonumber(ARGV[2])) and 1 or 0
