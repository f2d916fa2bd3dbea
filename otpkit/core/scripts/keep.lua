-- Lengthen the life of the phone's key; never shorten it.
local function keep(phone, ms)
  if not phone.fields[1] or redis.call('PTTL', KEYS[1]) < ms then redis.call('PEXPIRE', KEYS[1], ms) end
end
