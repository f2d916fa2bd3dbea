-- Give back what a send reserved and did not cost, once: its field says that it is charged, and goes first.

--# include give_back

local function refund_money(i, phone, refunds)
  local name = 'm' .. ARGV[2]
  local charged = field(phone, name)
  if charged and redis.call('HDEL', KEYS[1], name) == 1 and refunds ~= '' then money_refund(i, refunds, unpack_ms(charged, 1)) end
end
