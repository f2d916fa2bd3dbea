-- Return whether `list`, concatenated digests or key ids, contains `item`.
local function contains(list, item)
  for i = 1, #list, #item do
    if sub(list, i, i + #item - 1) == item then return true end
  end
  return false
end
