-- Judge a send by its scopes, and count it. `guard` has one character for each flag, then the region:
--
--   1 mode: o(bserve) or e(nforce); 2 captcha: p(assed), w(aived) or n(one); 3 known; 4 safe; 5 device: it is valid;
--   6 refuses: a range may be refused; 7 asked: a captcha is asked in any case; 8 address: it is known; 9 total: it is counted
--
-- `judged` is the sum of the scopes over their allowance: 1 range, 2 ip, 4 net, 8 region, 16 total, 32 guesses; and 64 if a
-- captcha was asked in any case, 128 if one was passed, 256 if it would be refused.

local SLOT_MS, WIDE_LIFE_MS = 600000, 20 * DAY_MS

local count_send
if ARGV[7] ~= '' and not (own and field(phone, 'u' .. op)) then
  --# include records region pack
  local mode, captcha, known, safe, device, refuses, asked, has_address, has_total = byte(ARGV[7], 1, 9)
  local name = sub(ARGV[7], 10)
  known, safe, device, has_address, has_total = known == 49, safe == 49, device == 49, has_address == 49, has_total == 49
  if device then -- A device is known until three of its phone's sends are unverified.
    local unverified = 0
    for i = 1, #phone.fields, 2 do
      if byte(phone.fields[i]) == 117 and byte(phone.fields[i + 1], 7) < 128 then unverified = unverified + 1 end
    end
    device = unverified <= 3
  end
  local is_used = false
  if captcha == 112 then
    is_used = sub(redis.call('GET', KEYS[10]) or '', 1, 1) == 'u'
    if is_used then captcha = 110 end
  end

  local range, address, network = rolled(redis.call('GET', KEYS[6]) or EMPTY, now, RANGE_MS), nil, nil
  if has_address then
    address = rolled(redis.call('GET', KEYS[7]) or EMPTY, now, ADDRESS_MS)
    network = rolled(redis.call('GET', KEYS[8]) or EMPTY, now, ADDRESS_MS)
  end
  local region_was = redis.call('HGET', KEYS[9], name)
  local region = region_rolled(region_was or EMPTY_REGION, now)
  local total = has_total and region_rolled(redis.call('HGET', KEYS[9], '*') or EMPTY_REGION, now)

  local takes_range, takes_address = false, false
  if not own then
    local guard_scope, guard_wait = nil, 0
    local function refuse(its_scope, its_wait)
      if its_wait > guard_wait then guard_scope, guard_wait = its_scope, its_wait end
    end
    -- Return an operator's override of a scope: a(llow), or '' without one. A block refuses.
    local function override(value, at, its_scope)
      if #value < at then return '' end
      local ends = unpack_ms(value, at + 1)
      if ends <= now then return '' end
      local letter = sub(value, at, at)
      if letter == 'b' then refuse(its_scope, ends - now) end
      return letter
    end
    local function slot_wait(record)
      local a, b, c, d = byte(record, 4, 7)
      return (((a * 256 + b) * 256 + c) * 256 + d) * 1000 + SLOT_MS - now
    end

    local allowed = override(range, OVERRIDE_AT, 'range')
    if not safe and allowed == '' then
      local unverified, verified = counts(range)
      local allowance = RANGE_FLOOR + RANGE_SHARE * verified
      if unverified >= allowance then
        judged = judged + 1
        if refuses == 49 and not known and unverified >= RANGE_REFUSAL * allowance then
          takes_range = true
          refuse('range', slot_wait(range))
        end
      end
    end
    if has_address then
      allowed = override(address, OVERRIDE_AT, 'guard_ip')
      if not safe and allowed == '' then
        local unverified, verified = counts(address)
        local allowance = ADDRESS_FLOOR + ADDRESS_SHARE * verified
        if unverified >= allowance then
          judged = judged + 2
          if not known and unverified >= ADDRESS_REFUSAL * allowance and byte(address, 8) >= DAY_MS / ADDRESS_MS then
            takes_address = true
            refuse('guard_ip', slot_wait(address))
          end
        end
      end
      allowed = override(network, OVERRIDE_AT, 'guard_ip')
      if not safe and allowed == '' then
        local unverified, verified = counts(network)
        if unverified >= NETWORK_FLOOR + NETWORK_SHARE * verified then judged = judged + 4 end
      end
    end

    -- Return whether a wide scope is over its allowance in one of its windows. `regions` multiplies the floors.
    local function is_over(value, regions)
      local high, low = byte(value, 97, 98)
      local share = (high * 256 + low) / 10000
      local unverified, verified = counts(sub(value, 1, 32))
      if unverified >= SHORT_FLOOR * regions + (SHORT_TIMES * share + SHORT_SHARE) * verified then return true end
      unverified, verified = counts(sub(value, 33, 64))
      return unverified >= DAY_FLOOR * regions + (share + DAY_SHARE) * verified
    end
    allowed = override(region, REGION_OVERRIDE_AT, 'region')
    if allowed == '' then
      if not safe and not device and is_over(region, 1) then judged = judged + 8 end
      local guessed = counts(sub(region, 65, 96))
      if guessed > 0 then
        local _, verified = counts(sub(region, 33, 64))
        if guessed >= GUESSES_FLOOR + GUESSES_SHARE * verified then judged = judged + 32 end
      end
    end
    if has_total then
      allowed = override(total, REGION_OVERRIDE_AT, 'total')
      if not safe and not device and allowed == '' and is_over(total, max(1, byte(total, 128))) then judged = judged + 16 end
    end

    local guesses_are_over = judged >= 32
    if asked == 49 then judged = judged + 64 end
    if mode == 101 then
      if guard_wait > 0 then
        --# include refused
        return refused(phone, challenge_field, guard_scope, guard_wait, judged)
      end
      if judged > 0 and captcha == 110 then return { operation, 'captcha', now, judged, is_used and 1 or 0 } end
      if guesses_are_over and captcha ~= 112 and not known and not device and ATTEMPTS > 2 then
        fresh = sub(fresh, 1, 36) .. char(ATTEMPTS - 2) .. sub(fresh, 38)
      end
    elseif guard_wait > 0 then
      judged = judged + 256
    end
    if captcha == 112 then judged = judged + 128 end
  end

  -- Count the send at the start of its challenge, before it is recorded: a refused write then counts a send that is not made.
  count_send = function(start)
    local counted_in = 0
    if not safe then
      counted_in = 1
      range = added(range, start, RANGE_MS, 1, 0)
      if takes_range or takes_address then
        local s = (now - now % 1000) / 1000
        local d, c, b
        d = s % 256
        s = (s - d) / 256
        c = s % 256
        s = (s - c) / 256
        b = s % 256
        local slot = char((s - b) / 256, b, c, d)
        if takes_range then range = sub(range, 1, 3) .. slot .. sub(range, 8) end
        if takes_address then address = sub(address, 1, 3) .. slot .. sub(address, 8) end
      end
      if redis.call('PTTL', KEYS[6]) < DAY_MS then
        redis.call('SET', KEYS[6], range, 'PX', '108000000')
      else
        redis.call('SET', KEYS[6], range, 'KEEPTTL')
      end
      if has_address then
        counted_in = 3
        address, network = added(address, start, ADDRESS_MS, 1, 0), added(network, start, ADDRESS_MS, 1, 0)
        --# include keep_address
      end
      if not device and captcha ~= 112 then
        counted_in = counted_in + 4
        region = region_added(region, start, 1, 0, 0)
        if total then
          counted_in = counted_in + 8
          total = region_added(total, start, 1, 0, 0)
        end
      end
    end
    if total and counted_in >= 8 then
      -- Count the regions in use: each region counts itself, in its first send of a UTC day.
      local today = (now - now % DAY_MS) / DAY_MS
      local in_use, a, b, c, so_far = byte(total, 128, 132)
      if (a * 256 + b) * 256 + c < today then
        local low = today % 256
        local middle = (today - low) / 256 % 256
        a, b, c, in_use, so_far = (today - low - 256 * middle) / 65536, middle, low, so_far, 0
      end
      local unused, was = region_was, 0
      if unused then
        local e, f, g = byte(unused, 33, 35)
        was = (e * 256 + f) * 256 + g
      end
      if was - was % 4 < today * 4 then so_far = min(255, so_far + 1) end
      total = sub(total, 1, 127) .. char(max(in_use, so_far), a, b, c, so_far) .. sub(total, REGION_OVERRIDE_AT)
      redis.call('HSET', KEYS[9], name, region, '*', total)
    elseif counted_in >= 4 then
      redis.call('HSET', KEYS[9], name, region)
    end
    if counted_in >= 4 and redis.call('PTTL', KEYS[9]) < WIDE_LIFE_MS - DAY_MS then redis.call('PEXPIRE', KEYS[9], '1728000000') end
    if captcha == 112 then redis.call('SET', KEYS[10], 'u', 'PX', ARGV[8]) end
    counted = pack_ms(start) .. char(counted_in, (judged - judged % 256) / 256, judged % 256) .. name
  end
end
