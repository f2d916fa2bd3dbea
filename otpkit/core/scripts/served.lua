-- Find what the challenge of `link` is counted under: its latest send has the gateway, unless the label does.
local figure = label
for i = 1, phone.served and #phone.sends or 0 do
  local send = phone.sends[i]
  if sub(send.value, 14, 13 + #link) == link and byte(send.value, 13) ~= 114 then
    local served = field(phone, 'g' .. sub(send.name, 2))
    if served then figure = sub(label, 1, 4) .. string.match(served, '^%S+') .. ' ' end
    break
  end
end
