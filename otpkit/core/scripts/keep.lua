-- Extend the expiry of the phone's key; never shorten it. `ms` may be text: converting a number for each command takes
-- longer than most commands.
local function keep(phone, ms)
  if not phone.fields[1] or redis.call('PTTL', KEYS[1]) < tonumber(ms) then redis.call('PEXPIRE', KEYS[1], ms) end
end
