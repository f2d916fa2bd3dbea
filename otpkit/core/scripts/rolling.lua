-- Return the ms until all rolling rates allow one more, or 0. If it is not 0, also return the limit and window of the rate
-- with the longest wait.
local function rolling_wait(newest, rates, now)
  local wait, limit, window = 0
  for i = 1, #rates, 2 do
    local nth = newest[rates[i]]
    if nth and nth.time + rates[i + 1] - now > wait then
      limit, window = rates[i], rates[i + 1]
      wait = nth.time + window - now
    end
  end
  return wait, limit, window
end

-- Return what the rate with the longest window still allows.
local function rolling_left(newest, rates, now)
  local since, counted = now - rates[#rates], 0
  for i = 1, #newest do
    if newest[i].time > since then counted = counted + 1 end
  end
  return max(0, rates[#rates - 1] - counted)
end
