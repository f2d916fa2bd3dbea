-- Find what the sends of the challenge count in. `guessed` is true if a guess at it is counted.
local names, records, guessed = {}, {}, false
for i = 1, #phone.sends do
  local send = phone.sends[i]
  if sub(send.value, 14, 25) == link then
    local record = field(phone, 'u' .. sub(send.name, 2))
    if record then
      names[#names + 1], records[#records + 1] = 'u' .. sub(send.name, 2), record
      guessed = guessed or byte(record, 7) % 32 >= 16
    end
  end
end
