-- Return what budgets have spent. It writes nothing.
--
-- KEYS  1 money_key
-- ARGV  1 now: in ms, or ''; 2… names: of the budgets
-- Returns {now_ms, …counts}: for each budget start, spent, hour, in_hour, and the refusals by amount, keep and hour, with their own
--         start before them; all are 0 if nothing was spent

--# include clock money

local reply = { now }
for i = 2, #ARGV do
  local start, spent, hour, in_hour = money_of(1, ARGV[i])
  local since, amount, keep, refused_hour = string.match(money_get(1, ARGV[i] .. '!') or '', '^(%d+) (%d+) (%d+) (%d+)$')
  for _, value in ipairs({ start or 0, spent or 0, hour or 0, in_hour or 0, since or 0, amount or 0, keep or 0, refused_hour or 0 }) do
    reply[#reply + 1] = tonumber(value)
  end
end
return reply
