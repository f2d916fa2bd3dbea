-- Forget what no rule looks at any more.

local MOST_SENDS, MOST_FAILURES = 32, 64

local function tidy(phone)
  local now, gone = phone.now, {}
  for i, send in ipairs(phone.sends) do
    if send.ends <= now and (i > MOST_SENDS or send.time <= now - DAY_MS) then gone[#gone + 1] = 's' .. send.op end
  end
  for i, failure in ipairs(phone.failures) do
    if i > MOST_FAILURES or failure.time <= now - DAY_MS then gone[#gone + 1] = 'f' .. failure.op end
  end
  for slot in pairs(phone.challenges) do
    if not live_challenge(phone, slot) then gone[#gone + 1] = 'c' .. slot end
  end
  for op, proof in pairs(phone.proofs) do
    if proof.ends <= now then gone[#gone + 1] = 'p' .. op end
  end
  if gone[1] then redis.call('HDEL', phone.key, unpack(gone)) end
end
