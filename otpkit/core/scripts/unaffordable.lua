-- Refuse a message that a budget can't afford.

-- Count a refusal by the budget that refused. It creates no key.
local function money_refuse(i, bill)
  local budget = bill[bill.place]
  if not budget.is_known then return end
  local name, reason = budget.name .. '!', bill.reason
  local start, amount, keep, hour = string.match(money_get(i, name) or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not start or tonumber(start) < budget.start then amount, keep, hour = 0, 0, 0 end
  money_set(i, name, string.format('%.0f %d %d %d', budget.start, amount + (reason == 'amount' and 1 or 0),
    keep + (reason == 'keep' and 1 or 0), hour + (reason == 'hour' and 1 or 0)))
end
