-- Move a send that count_wide.lua counted: from unverified to verified, or out, because it is not made. Or count that its
-- challenge is guessed at. Each is done once.
--
-- KEYS  1 region_key: see records.lua; 2 memory_key: see count_wide.lua, or another one for a guess; 3 total_key
-- ARGV  1 now: in ms, or ''; 2 move: v(erified); g(uess); or b(ack), because it was refused, or u(nsent):
--       out, while the memory of the send lasts; 3 at_ms: when it was
--       counted; 4 counted_in: the sum of the scopes that count it, see phone.lua
-- Returns 1 if it is moved now, else 0

--# include clock records rolled region guesses

local MEMORY_MS = '120000'

-- A memory begins with c(ounted), b(ack), v(erified), d(one): first back, then verified, or g(uess).
local state, back_at, back_in = string.match(redis.call('GET', KEYS[2]) or '', '^(%a) ?(%d*) ?%d* ?%d* ?%d* ?(%d*)$')
local move, at, counted_in, unverified, verified = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), -1, 0
if move == 'b' or move == 'u' then
  if state ~= 'c' then return 0 end
  if move == 'b' then
    redis.call('DEL', KEYS[2]) -- A refused send can't be verified, and leaves no key.
  else
    redis.call('SET', KEYS[2], 'u', 'PX', MEMORY_MS)
  end
  at, counted_in = tonumber(back_at), tonumber(back_in)
elseif move == 'g' then
  if state then return 0 end
  redis.call('SET', KEYS[2], 'g', 'PX', MEMORY_MS)
  counted_in = 16
else
  if state == 'v' or state == 'd' then return 0 end
  redis.call('SET', KEYS[2], state == 'u' and 'd' or 'v', 'PX', MEMORY_MS)
  if state == 'u' then unverified = 0 end
  verified = 1
end

local region = region_rolled(redis.call('GET', KEYS[1]))
if counted_in % 8 >= 4 then
  local place = place_of(region, 4, at, SHORT_MS)
  if place then region = sub(region, 1, place - 1) .. shifted(region, place, unverified, verified) .. sub(region, place + 6) end
end
if counted_in % 32 >= 16 then
  local place = guess_place(at)
  region = sub(region, 1, place - 1) .. guessed_by(region, at, move == 'g' and 1 or -1) .. sub(region, place + 3)
end
--# include write_wide
if counted_in % 16 >= 8 then
  local total = region_rolled(redis.call('GET', KEYS[3]))
  local place = place_of(total, 4, at, SHORT_MS)
  if place then
    total = sub(total, 1, place - 1) .. shifted(total, place, unverified, verified) .. sub(total, place + 6)
    --# include write_all
  end
end
return 1
