-- Return the end of a link's challenge: the latest end of its sends that were not rejected, or nil without any.
local function challenge_ends(phone, link)
  local sends, ends = phone.sends
  for i = 1, #sends do
    local value = sends[i].value
    if sub(value, 14, 25) == link and byte(value, 13) ~= 114 then
      local its_end = unpack_ms(value, 7)
      if ends == nil or its_end > ends then ends = its_end end
    end
  end
  return ends
end

-- Return the live challenge of a challenge field: its value, link and end; or nil.
local function live_challenge(phone, challenge_field)
  local challenge = field(phone, 'c' .. challenge_field)
  if not challenge or byte(challenge, 43) >= ATTEMPTS then return nil end
  local link = challenge_field .. sub(challenge, 7, 10)
  local ends = challenge_ends(phone, link)
  if ends and ends > phone.now then return challenge, link, ends end
end
