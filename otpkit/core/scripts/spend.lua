-- Charge a message to its budgets, which lie on another node of the cluster than its phone. A repeated run charges nothing, and
-- returns the same.
--
-- KEYS  1 money_key; 2 memory_key: it remembers this charge for a quarter of an hour
-- ARGV  1 now: in ms, or ''; 2 money: 1 or 0 for a privileged message, and its budgets (see charge.lua)
-- Returns {charged_ms, alerts}: the time, and the alerts that are reached now (see charge.lua); or
--         {now_ms, budget, reason, wait_ms}: the place of the budget that refused, and the reason; or
--         {now_ms} if the bounds don't contain that time

--# include clock money charge

local MEMORY_MS = '900000' -- Longer than any message is on its way.

local memory = redis.call('GET', KEYS[2])
local charged, marks = string.match(memory or '', '^(%d+) (%x*)$')
if charged then return { tonumber(charged), marks } end
-- Sent long ago: the request was stuck in a hanging server's queue, and no caller waits for the reply.
if memory then return { now, '' } end
local bill = money_read(1, sub(ARGV[2], 2), now, sub(ARGV[2], 1, 1) == '1')
if bill.misdated then return { now } end
if bill.wait > 0 then
  --# include unaffordable
  money_refuse(1, bill)
  return { now, bill.place, bill.reason, bill.wait }
end
marks = money_charge(1, bill)
redis.call('SET', KEYS[2], string.format('%.0f %s', now, marks), 'PX', MEMORY_MS)
money_keep(1, bill)
return { now, marks }
