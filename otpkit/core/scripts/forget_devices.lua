-- Forget the devices of a phone: none of their tokens is valid any more.
--
-- KEYS  1 device_key: the time up to which the phone's device tokens are void
-- ARGV  1 now: in ms, or ''
-- Returns 1

--# include clock forget

return 1
