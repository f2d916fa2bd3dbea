-- Repeat what the guard found when it judged this send.
local record = field(phone, 'u' .. op)
if record then judged = byte(record, 8) * 256 + byte(record, 9) end
