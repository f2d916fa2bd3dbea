-- Give back what a send reserved and did not cost, once: its field says that it is charged, and goes first.

--# include money

local function refund_money(i, refunds)
  local name = 'm' .. ARGV[2]
  local charged = redis.call('HGET', KEYS[1], name)
  if charged and redis.call('HDEL', KEYS[1], name) == 1 then money_refund(i, refunds, unpack_ms(charged, 1)) end
end
