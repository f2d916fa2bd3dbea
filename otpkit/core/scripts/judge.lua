-- Judge a send by its scopes. The guard's argument has one character for each flag, then the region:
--
--   1 mode: o(bserve) or e(nforce); 2 captcha: p(assed), w(aived) or n(one); 3 known; 4 safe; 5 refuses: a range may be refused;
--   6 asked: a captcha is asked in any case
--
-- `judged` is the sum of the scopes over their allowance: 1 range, 2 ip, 4 net, 8 region, 16 total, 32 guesses; and 64 if a
-- captcha was asked in any case, 128 if one was passed, 256 if the send would be refused.

local RANGE_MS, ADDRESS_MS, SHORT_MS = 21600000, 900000, 300000
--# include slot

local guard, counts_send = ARGV[7] or '', false
local mode, captcha, known, safe, refuses, asked = byte(guard, 1, 6)
local has_address = (KEYS[ADDRESS_KEY] or KEYS[1]) ~= KEYS[1]
local device = device_valid
local range, range_new, address, address_new, network, network_new, region, region_new, total
local takes_range, takes_address, region_newest = false, false, 0

if mode and not (own and field(phone, 'u' .. op)) then
  counts_send = true
  known, safe = known == 49, safe == 49
  --# include exempt
  local is_used = false
  if captcha == 112 then
    is_used = sub(redis.call('GET', KEYS[ANSWER_KEY]) or '', 1, 1) == 'u'
    if is_used then captcha = 110 end
  end

  -- A record whose newest bucket is not the current one is moved on, and written whole.
  range, region = redis.call('GET', KEYS[RANGE_KEY]), redis.call('GET', KEYS[REGION_KEY])
  if range then
    local a, b, c = byte(range, 1, 3)
    if (a * 256 + b) * 256 + c ~= (now - now % RANGE_MS) / RANGE_MS then
      --# include rolled
      range, range_new = rolled(range, RANGE_MS), true
    end
  end
  if region then
    local a, b, c = byte(region, 1, 3)
    region_newest = (a * 256 + b) * 256 + c
  end
  if region_newest ~= (now - now % SHORT_MS) / SHORT_MS then
    --# include records rolled region
    region, region_new = region_rolled(region), true
  end
  if has_address then
    local index = (now - now % ADDRESS_MS) / ADDRESS_MS
    address, network = redis.call('GET', KEYS[ADDRESS_KEY]), redis.call('GET', KEYS[NETWORK_KEY])
    local a, b, c
    if address then
      a, b, c = byte(address, 1, 3)
      address_new = (a * 256 + b) * 256 + c ~= index
    end
    if network then
      a, b, c = byte(network, 1, 3)
      network_new = (a * 256 + b) * 256 + c ~= index
    end
    if address_new or network_new then
      --# include rolled
      if address_new then address = rolled(address, ADDRESS_MS) end
      if network_new then network = rolled(network, ADDRESS_MS) end
    end
  end
  --# if total
  --# include records rolled region
  total = region_rolled(redis.call('GET', KEYS[TOTAL_KEY]))
  --# end

  if not own then
    local guard_scope, guard_wait, overridden = nil, 0, 0
    --# include overrides
    local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x
    if range and overridden % 2 < 1 and not safe then
      a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(range, 9, 32)
      local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
      if unverified >= RANGE_FLOOR then
        local allowance = RANGE_FLOOR + RANGE_SHARE * (((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x)
        if unverified >= allowance then
          judged = judged + 1
          if refuses == 49 and not known and unverified >= RANGE_REFUSAL * allowance then
            takes_range = true
            a, b, c, d = byte(range, 4, 7)
            local its_wait = (((a * 256 + b) * 256 + c) * 256 + d) * 1000 + SLOT_MS - now
            if its_wait > guard_wait then guard_scope, guard_wait = 'range', its_wait end
          end
        end
      end
    end
    if has_address then
      if address and overridden % 4 < 2 and not safe then
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(address, 9, 32)
        local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
        if unverified >= ADDRESS_FLOOR then
          local allowance = ADDRESS_FLOOR + ADDRESS_SHARE * (((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x)
          if unverified >= allowance then
            judged = judged + 2
            if not known and unverified >= ADDRESS_REFUSAL * allowance and byte(address, 8) >= 96 then -- Nothing for a day.
              takes_address = true
              a, b, c, d = byte(address, 4, 7)
              local its_wait = (((a * 256 + b) * 256 + c) * 256 + d) * 1000 + SLOT_MS - now
              if its_wait > guard_wait then guard_scope, guard_wait = 'guard_ip', its_wait end
            end
          end
        end
      end
      if network and overridden % 8 < 4 and not safe then
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x = byte(network, 9, 32)
        local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
        if unverified >= NETWORK_FLOOR + NETWORK_SHARE * (((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x) then
          judged = judged + 4
        end
      end
    end
    if overridden % 16 < 8 then
      local verified, aa, bb, cc, dd, ee, ff, gg, hh
      a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, aa, bb, cc, dd, ee, ff, gg, hh = byte(region, 4, 35)
      local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
      verified = ((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x
      local unverified_day = unverified + ((aa * 256 + bb) * 256 + cc) * 256 + dd
      local verified_day = verified + ((ee * 256 + ff) * 256 + gg) * 256 + hh
      if not safe and not device and (unverified >= SHORT_FLOOR or unverified_day >= DAY_FLOOR) then
        a, b = byte(region, 83, 84)
        local share = (a * 256 + b) / 10000
        if unverified >= SHORT_FLOOR + (SHORT_TIMES * share + SHORT_SHARE) * verified
          or unverified_day >= DAY_FLOOR + (share + DAY_SHARE) * verified_day then
          judged = judged + 8
        end
      end
      a, b, c, d, e, f, g, h, i, j, k, l = byte(region, 60, 71)
      if ((a + d + g + j) * 256 + b + e + h + k) * 256 + c + f + i + l >= GUESSES_FLOOR + GUESSES_SHARE * verified_day then
        judged = judged + 32
      end
    end
    --# if total
    if overridden % 32 < 16 and not safe and not device then
      local verified, aa, bb, cc, dd, ee, ff, gg, hh
      a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, aa, bb, cc, dd, ee, ff, gg, hh = byte(total, 4, 35)
      local unverified = ((a + g + m + s) * 256 + b + h + n + t) * 256 + c + i + o + u
      verified = ((d + j + p + v) * 256 + e + k + q + w) * 256 + f + l + r + x
      local unverified_day = unverified + ((aa * 256 + bb) * 256 + cc) * 256 + dd
      local verified_day = verified + ((ee * 256 + ff) * 256 + gg) * 256 + hh
      a, b = byte(total, 83, 84)
      local share, regions = (a * 256 + b) / 10000, max(1, byte(total, 114))
      if unverified >= SHORT_FLOOR * regions + (SHORT_TIMES * share + SHORT_SHARE) * verified
        or unverified_day >= DAY_FLOOR * regions + (share + DAY_SHARE) * verified_day then
        judged = judged + 16
      end
    end
    --# end

    local guesses_are_over = judged >= 32
    if asked == 49 then judged = judged + 64 end
    if mode == 101 then
      if guard_wait > 0 then
        --# include refused refusal
        refusal('grefused')
        return refused(phone, challenge_field, guard_scope, guard_wait, judged)
      end
      if judged > 0 and captcha == 110 then
        --# include refusal
        refusal('gcaptcha')
        return { operation, 'captcha', now, judged, is_used and 1 or 0 }
      end
      if guesses_are_over and captcha ~= 112 and not known and not device and ATTEMPTS > 2 then
        fresh = sub(fresh, 1, 36) .. char(ATTEMPTS - 2) .. sub(fresh, 38)
      end
    elseif guard_wait > 0 then
      judged = judged + 256
    end
    if captcha == 112 then judged = judged + 128 end
  end
end
