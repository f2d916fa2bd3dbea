-- Find whether `list`, concatenated digests or key ids, contains `item`. A function would cost a hundredth of a call.
local is_contained = false
for i = 1, #list, #item do
  if sub(list, i, i + #item - 1) == item then is_contained = true end
end
