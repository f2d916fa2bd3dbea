-- Give money back to budgets.

--# include money

-- Give back what was reserved at `reserved`, in the windows and hours that still run. `text` is "name amount;name amount;".
local function money_refund(i, text, reserved)
  for name, amount in string.gmatch(text, '(%S+) (%d+);') do
    local start, spent, hour, in_hour, alerted = money_of(i, name)
    if start and start <= reserved then
      amount = tonumber(amount)
      local elapsed = reserved - start
      if elapsed - elapsed % HOUR_MS == hour * HOUR_MS then in_hour = max(0, in_hour - amount) end
      money_write(i, name, start, max(0, spent - amount), hour, in_hour, alerted)
    end
  end
end
