-- Move a send that count_narrow.lua counted: from unverified to verified, or out, because it is not made. Each is done once.
--
-- KEYS  1 record_key: see records.lua; 2 memory_key: see count_narrow.lua
-- ARGV  1 now: in ms, or ''; 2 move: v(erified), or b(ack), because it was refused, or u(nsent):
--       out, while the memory of the send lasts; 3 at_ms: when a verified send
--       was counted; 4 length_ms: of a bucket
-- Returns 1 if it is moved now, else 0

--# include clock records rolled

local MEMORY_MS = '120000'

-- A memory begins with c(ounted), u(nsent), v(erified), or d(one): first unsent, then verified.
local state, at, slot = string.match(redis.call('GET', KEYS[2]) or '', '^(%a) ?(%d*) ?%d* ?%d* ?(.*)$')
local length, record, unverified, verified = tonumber(ARGV[4]), redis.call('GET', KEYS[1]), -1, 0
if ARGV[2] == 'b' or ARGV[2] == 'u' then
  if state ~= 'c' then return 0 end
  if ARGV[2] == 'b' then
    redis.call('DEL', KEYS[2]) -- A refused send can't be verified, and leaves no key.
  else
    redis.call('SET', KEYS[2], 'u', 'PX', MEMORY_MS)
  end
  if not record then return 0 end
  at = tonumber(at)
  local s = (at - at % 1000) / 1000
  local a, b, c, d = byte(record, 4, 7)
  if slot ~= '-' and ((a * 256 + b) * 256 + c) * 256 + d == s then -- Its turn in a scope that refuses is free again.
    s = tonumber(slot)
    record = sub(record, 1, 3) .. char((s - s % 16777216) / 16777216, (s - s % 65536) / 65536 % 256, (s - s % 256) / 256 % 256, s % 256)
      .. sub(record, 8)
  end
else
  if state == 'v' or state == 'd' then return 0 end
  redis.call('SET', KEYS[2], state == 'u' and 'd' or 'v', 'PX', MEMORY_MS)
  if state == 'u' then unverified = 0 end
  at, verified = tonumber(ARGV[3]), 1
  record = rolled(record, length)
end
local place = place_of(record, 9, at, length)
if place then record = sub(record, 1, place - 1) .. shifted(record, place, unverified, verified) .. sub(record, place + 6) end
if place and verified > 0 then record = sub(record, 1, 7) .. '\0' .. sub(record, 9) end
if sub(record, 4) == sub(EMPTY, 4) then
  redis.call('DEL', KEYS[1]) -- A send that is not made leaves no key.
elseif place then
  --# include write_narrow
end
return place and 1 or 0
