-- Write again what was written before, where replicas confirm it: WAIT waits for the latest write of its connection, and on
-- another one than the first there would be none.
local function repeated(phone, name)
  if REPLICAS > 0 then redis.call('HSET', KEYS[1], name, field(phone, name)) end
end
