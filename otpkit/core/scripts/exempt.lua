-- A device is exempt as long as at most three of its phone's sends since its verification are unverified.
if device then
  local since, unverified = tonumber(ARGV[9]), 0
  for i = 1, #phone.fields, 2 do
    local value = phone.fields[i + 1]
    if byte(phone.fields[i]) == 117 and byte(value, 7) < 128 and unpack_ms(value, 1) > since then unverified = unverified + 1 end
  end
  device = unverified <= 3
end
