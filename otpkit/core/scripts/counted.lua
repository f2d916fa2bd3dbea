-- Find what the sends of the challenge count in. `guessed` is true if a guess at it is counted.
local names, records, guessed = nil, nil, false
for i = 1, #phone.sends do
  local send = phone.sends[i]
  if sub(send.value, 14, 25) == link then
    local its_name = 'u' .. sub(send.name, 2)
    local record = field(phone, its_name)
    if record then
      guessed = guessed or byte(record, 7) % 32 >= 16
      if records then
        names[#names + 1], records[#records + 1] = its_name, record
      else
        names, records = { its_name }, { record } -- Appending to an empty table takes twice as long.
      end
    end
  end
end
if not records then names, records = {}, {} end
