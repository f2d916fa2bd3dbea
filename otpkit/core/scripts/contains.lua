-- Whether `list`, digests or key ids set end to end, holds `item`.
local function contains(list, item)
  for i = 1, #list, #item do
    if sub(list, i, i + #item - 1) == item then return true end
  end
  return false
end
