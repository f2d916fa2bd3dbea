-- Repeat an earlier write if replicas must confirm it: WAIT waits for the latest write of its connection, and a retry on
-- another connection would have none.
local function repeated(phone, name)
  if REPLICAS > 0 then redis.call('HSET', KEYS[1], name, field(phone, name)) end
end
