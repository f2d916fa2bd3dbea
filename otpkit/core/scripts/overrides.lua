-- Read what operators have overridden: the sum of 1 range, 2 address, 4 network, 8 region, 16 total. A block refuses.
if range and #range > 32 or address and #address > 32 or network and #network > 32 or #region > 118 or total and #total > 118 then
  local function look(record, place, its_scope, bit)
    local ends = record and #record >= place and unpack_ms(record, place + 1) or 0
    if ends <= now then return end
    overridden = overridden + bit
    if byte(record, place) == 98 and ends - now > guard_wait then guard_scope, guard_wait = its_scope, ends - now end
  end
  look(range, 33, 'range', 1)
  look(address, 33, 'guard_ip', 2)
  look(network, 33, 'guard_ip', 4)
  look(region, 119, 'region', 8)
  look(total, 119, 'total', 16)
end
