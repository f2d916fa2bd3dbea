-- The state of one phone: one hash with a field per fact, so that one key holds, expires and erases all of it.
--
--   s<op 16>    a send         time 6, ends 6, state 1, link 12 [, idempotency key 8]
--   c<field 8>  a challenge    time 6, nonce 16, digest 16 and key id 4, wrong codes 1, length 1, fixed 1
--                              used up, while replicas must confirm it: wrong codes + 128, and [failures 1, proved by op 16];
--                              of messages whose code another system keeps: all but its time is zero, see core/send.py
--   f<op 16>    a wrong code   time 6, attempts left 1
--   p<op 16>    a proof        time 6, ends 6, fixed 1 [, redeemed by op 16]
--   r<op 16>    the call that redeemed that proof by an idempotency key, to recognise its own retry   time 6, call 8
--   g<op 16>    who served that send, if it must be known: the gateway's name [, a blank, its message id]
--   u<op 16>    what that send counts in, if a guard counts sends: start of its challenge 6, scopes 1, judged 2, region (judge.lua);
--               scopes are the sum of 1 range, 2 address and network, 4 region, 8 total, 16 a guess at its challenge, and
--               128 if it was taken back by a verification that replicas must confirm
--   m<op 16>    that send is charged to budgets and not settled    time 6 [, alerts: see charge.lua]
--
-- A later version may write other kinds of fields, and longer values. This version skips them and never writes them.
--
-- Times are server milliseconds, big-endian. A challenge field is the keyed hash of purpose and bind; a link ties a send to
-- its challenge: the challenge field and the first 4 bytes of the nonce. A send's state is p(ending), a(ccepted), u(ncertain),
-- d(elivered), f(ailed on its way) or r(ejected, yet counted). A challenge lives as long as the longest of its sends that were
-- not rejected, so undoing a send also undoes the life that it added. No value exceeds 64 bytes, beyond which Redis gives up
-- its compact encoding of a hash.
--
-- Values are parsed only where a rule needs them: a call takes 20 microseconds, and each substring adds to that.

local function unpack_ms(text, at)
  local a, b, c, d, e, f = byte(text, at, at + 5)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

-- Load a phone: `fields` as HGETALL returns them, with blank names for unknown ones; sends and wrong codes as {name, value,
-- time}, newest first; `served` is true if the gateway of a send is recorded.
local function load_phone(now)
  local fields, sends, failures, served = redis.call('HGETALL', KEYS[1]), {}, {}, false
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local kind = byte(name)
    -- The minimum size of a value by its kind. A table would have to be built in each call, which costs time.
    local least = kind == 115 and 25 or kind == 99 and 45 or kind == 112 and 13 or kind == 102 and 7
    if least and #value >= least and #name == (kind == 99 and 9 or 17) then
      local time = unpack_ms(value, 1)
      if time > now then
        -- A recorded time in the future (after a failover to a slower clock) becomes now, and an end that follows it moves
        -- earlier by as much.
        --# include pack
        local rest = sub(value, 7)
        if kind == 115 or kind == 112 then rest = pack_ms(unpack_ms(value, 7) - (time - now)) .. sub(value, 13) end
        value, time = pack_ms(now) .. rest, now
        fields[i + 1] = value
        redis.call('HSET', KEYS[1], name, value)
      end
      if kind == 115 then
        sends[#sends + 1] = { name = name, value = value, time = time }
      elseif kind == 102 then
        failures[#failures + 1] = { name = name, value = value, time = time }
      end
    elseif kind == 103 then
      served = true
    elseif kind ~= 117 and kind ~= 109 then
      fields[i] = ''
    end
  end
  if sends[2] or failures[2] then
    local function newest_first(a, b) return a.time > b.time end
    table.sort(sends, newest_first)
    table.sort(failures, newest_first)
  end
  local phone = { now = now, fields = fields, sends = sends, failures = failures, served = served }
  -- If the PEXPIRE after a send's first write was refused, the send is pending and the key has no expiry yet.
  if sends[1] and byte(sends[1].value, 13) == 112 and redis.call('PTTL', KEYS[1]) == -1 then
    redis.call('PEXPIRE', KEYS[1], DAY_MS)
  end
  return phone
end

-- Return the value of a field of a loaded phone, or nil.
local function field(phone, name)
  local fields = phone.fields
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end
