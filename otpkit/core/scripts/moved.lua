-- Describe what must be moved on other nodes: "send scopes ms range_ms;", with the send's id in hexadecimal, see count_elsewhere.lua.
local MOVES_MS = 60000 -- Repeat it for so long, for a retry whose reply was lost. The nodes remember each move for longer.

local function move_of(name, record)
  local id = string.format(string.rep('%02x', 16), byte(name, 2, 17))
  return string.format('%s %d %.0f %.0f;', id, byte(record, 7) % 128, unpack_ms(record, 1), unpack_ms(record, 10))
end

-- Return the moves of an operation whose id stands at `place` of its sends' records, or ''.
local function moves_of(its_id, place)
  local moves = ''
  for i = 1, #phone.fields, 2 do
    local name, value = phone.fields[i], phone.fields[i + 1]
    if byte(name) == 117 and sub(value, place, place + 15) == its_id then moves = moves .. move_of(name, value) end
  end
  return moves
end
