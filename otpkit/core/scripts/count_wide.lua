-- Judge a send by its region, by guesses and by all regions together, which lie on another node than the phone, and count it, in
-- one step. A send that they refuse, or that passed or needs a captcha, is not counted. A repeated run counts nothing, and returns
-- the same.
--
-- KEYS  1 region_key: see records.lua; 2 memory_key: it remembers for two minutes how this send was counted; 3 total_key
-- ARGV  1 now: in ms, or ''; 2 guard: a character for each of: mode, captcha, safe, asked, as in count_narrow.lua; and 1 if all
--       regions together are counted, else 0
-- Returns {now_ms, judged, scope, wait_ms, counted_in}: judged is the sum of the scopes over their allowance (see judge.lua), scope
--         that of the one that refuses or 0, counted_in the sum of the scopes that count the send (see phone.lua), and now_ms the
--         time of the count

--# include clock records rolled region

local MEMORY_MS = '120000'

local memory = redis.call('GET', KEYS[2])
local at, judged, scope, wait, counted_in = string.match(memory or '', '^%a (%d+) (%d+) (%d+) (%d+) (%d+)')
if at then return { tonumber(at), tonumber(judged), tonumber(scope), tonumber(wait), tonumber(counted_in) } end
-- Moved long ago: the request was stuck in a hanging server's queue, and no caller waits for the reply.
if memory then return { now, 0, 0, 0, 0 } end
judged, scope, wait, counted_in = 0, 0, 0, 0

local mode, captcha, safe, asked, has_total = byte(ARGV[2], 1, 5)
local region, newest = redis.call('GET', KEYS[1]), 0
if region then
  local a, b, c = byte(region, 1, 3)
  newest = (a * 256 + b) * 256 + c
end
region = region_rolled(region)
local total = has_total == 49 and region_rolled(redis.call('GET', KEYS[3]))

-- Return whether an operator overrides a scope. A block refuses.
local function is_overridden(record, its_scope)
  if #record <= 118 then return false end
  local a, b, c, d, e, f = byte(record, 120, 125)
  local ends = ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
  if ends > now and byte(record, 119) == 98 and ends - now > wait then scope, wait = its_scope, ends - now end
  return ends > now
end

-- Return whether a record is over its allowance, and what it has verified in a day.
local function judge(record, regions)
  local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(record, 4, 27)
  local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
  local verified = ((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x
  local unverified_day, verified_day = unverified + number_at(record, 28), verified + number_at(record, 32)
  a, b = byte(record, 83, 84)
  local share = (a * 256 + b) / 10000
  return unverified >= SHORT_FLOOR * regions + (SHORT_TIMES * share + SHORT_SHARE) * verified
    or unverified_day >= DAY_FLOOR * regions + (share + DAY_SHARE) * verified_day, verified_day
end

if not is_overridden(region, 8) then
  local is_over, verified_day = judge(region, 1)
  if is_over and safe ~= 49 then judged = 8 end
  local a, b, c, d, e, f, g, h, i, j, k, l = byte(region, 60, 71)
  if ((a + d + g + j) * 256 + b + e + h + k) * 256 + c + f + i + l >= GUESSES_FLOOR + GUESSES_SHARE * verified_day then
    judged = judged + 32
  end
end
if total and not is_overridden(total, 16) and safe ~= 49 and judge(total, max(1, byte(total, 114))) then judged = judged + 16 end

if safe ~= 49 and captcha ~= 112 and (mode == 111 or wait == 0 and (captcha ~= 110 or judged == 0 and asked ~= 49)) then
  counted_in = 4
  local place = place_of(region, 4, now, SHORT_MS)
  region = sub(region, 1, place - 1) .. shifted(region, place, 1, 0) .. sub(region, place + 6)
  if total then
    counted_in = 12
    total = sub(total, 1, place - 1) .. shifted(total, place, 1, 0) .. sub(total, place + 6)
    -- The regions in use: see count.lua.
    local today, in_use, a, b, c, so_far = (now - now % DAY_MS) / DAY_MS, byte(total, 114, 118)
    if (a * 256 + b) * 256 + c ~= today then in_use, so_far = so_far, 0 end
    if (newest - newest % 288) / 288 ~= today then so_far = min(255, so_far + 1) end
    total = sub(total, 1, 113) .. char(max(in_use, so_far)) .. pack_index(today) .. char(so_far) .. sub(total, 119)
    --# include write_all
  end
  --# include write_wide
  local memory = string.format('c %.0f %d %d %.0f %d', now, judged, scope, wait, counted_in)
  redis.call('SET', KEYS[2], memory, 'PX', MEMORY_MS)
end
return { now, judged, scope, wait, counted_in }
