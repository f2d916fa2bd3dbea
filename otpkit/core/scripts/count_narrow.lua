-- Judge a send by a range, an address or a network that lies on another node than the phone, and count it, in one step. A send
-- that the scope refuses, or that needs a captcha for it, is not counted. A repeated run counts nothing, and returns the same.
--
-- KEYS  1 record_key: see records.lua; 2 memory_key: it remembers for two minutes how this send was counted
-- ARGV  1 now: in ms, or ''; 2 guard: a character for each of: mode, o(bserve) or e(nforce); captcha, p(assed), w(aived) or n(one);
--       safe, 0 or 1; asked, 1 if a captcha is asked in any case; refuses, n(ever), f(ar over the allowance), or q, far over and if
--       nothing was verified in the last day; 3 floor; 4 share; 5 far: see `Rule`; 6 length_ms: of a bucket
-- Returns {now_ms, is_over, wait_ms, is_counted}: is_over and is_counted are 0 or 1, wait_ms is 0 unless the scope refuses, and
--         now_ms is the time of the count

--# include clock records rolled slot

local MEMORY_MS = '120000'

local memory = redis.call('GET', KEYS[2])
local at, over, wait = string.match(memory or '', '^%a (%d+) (%d) (%d+)')
if at then return { tonumber(at), tonumber(over), tonumber(wait), 1 } end
-- Moved long ago: the request was stuck in a hanging server's queue, and no caller waits for the reply.
if memory then return { now, 0, 0, 1 } end
over, wait = 0, 0

local mode, captcha, safe, asked, refuses = byte(ARGV[2], 1, 5)
local length, takes = tonumber(ARGV[6]), false
local record = redis.call('GET', KEYS[1])
record = rolled(record, length)
local override = 0
if #record > 32 then
  local a, b, c, d, e, f = byte(record, 34, 39)
  local ends = ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
  if ends > now then override = byte(record, 33) end
  if override == 98 then wait = ends - now end
end
if override == 0 and safe ~= 49 then
  local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(record, 9, 32)
  local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
  local allowance = ARGV[3] + ARGV[4] * (((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x)
  if unverified >= allowance then
    over = 1
    if unverified >= ARGV[5] * allowance and (refuses == 102 or refuses == 113 and byte(record, 8) * length >= DAY_MS) then
      takes = true
      a, b, c, d = byte(record, 4, 7)
      wait = max(0, (((a * 256 + b) * 256 + c) * 256 + d) * 1000 + SLOT_MS - now)
    end
  end
end

local is_counted = safe ~= 49 and (mode == 111 or wait == 0 and (captcha ~= 110 or over == 0 and asked ~= 49))
if is_counted then
  local slot = '-'
  if takes and wait == 0 then
    local a, b, c, d = byte(record, 4, 7)
    slot = ((a * 256 + b) * 256 + c) * 256 + d
    local s = (now - now % 1000) / 1000
    record = sub(record, 1, 3) .. char((s - s % 16777216) / 16777216, (s - s % 65536) / 65536 % 256, (s - s % 256) / 256 % 256, s % 256)
      .. sub(record, 8)
  end
  local place = place_of(record, 9, now, length)
  record = sub(record, 1, place - 1) .. shifted(record, place, 1, 0) .. sub(record, place + 6)
  --# include write_narrow
  redis.call('SET', KEYS[2], string.format('c %.0f %d %.0f %s', now, over, wait, slot), 'PX', MEMORY_MS)
end
return { now, over, wait, is_counted and 1 or 0 }
