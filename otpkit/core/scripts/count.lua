-- Count the send at the start of its challenge, and before it is recorded: if its record is refused, a send is counted that is
-- not made. A record whose bucket is new is written whole, any other in its bucket alone.
if counts_send then
  local counted_in = 0
  if not safe then
    counted_in = 1
    do
      --# include count_range
    end
    if has_address then
      counted_in = 3
      do
        --# include count_address
      end
      do
        --# include count_network
      end
    end
    if takes_range or takes_address then
      local s = (now - now % 1000) / 1000
      local slot = char((s - s % 16777216) / 16777216, (s - s % 65536) / 65536 % 256, (s - s % 256) / 256 % 256, s % 256)
      if takes_range then redis.call('SETRANGE', KEYS[RANGE_KEY], '3', slot) end
      if takes_address then redis.call('SETRANGE', KEYS[ADDRESS_KEY], '3', slot) end
    end
    if not device and captcha ~= 112 then
      counted_in = counted_in + 4
      local quarter = (start - start % SHORT_MS) / SHORT_MS % 4
      local place = 4 + 6 * quarter
      local c = byte(region, place + 2)
      if c < 255 and not region_new then
        local offset = quarter == 0 and '5' or quarter == 1 and '11' or quarter == 2 and '17' or '23'
        redis.call('SETRANGE', KEYS[REGION_KEY], offset, char(c + 1))
      else
        --# include records
        region = sub(region, 1, place - 1) .. shifted(region, place, 1, 0) .. sub(region, place + 6)
        --# include write_region
      end
      --# if total
      do
        --# include records
        counted_in = counted_in + 8
        total = sub(total, 1, place - 1) .. shifted(total, place, 1, 0) .. sub(total, place + 6)
        -- The regions in use: each counts itself by its first send of a UTC day. It is the larger of today's and the day's before.
        local today, a, b, in_use, so_far = (now - now % DAY_MS) / DAY_MS, nil, nil, nil, nil
        in_use, a, b, c, so_far = byte(total, 114, 118)
        if (a * 256 + b) * 256 + c ~= today then in_use, so_far = so_far, 0 end
        if (region_newest - region_newest % 288) / 288 ~= today then so_far = min(255, so_far + 1) end
        c = today % 256
        b = (today - c) / 256 % 256
        total = sub(total, 1, 113) .. char(max(in_use, so_far), (today - c - 256 * b) / 65536, b, c, so_far) .. sub(total, 119)
        --# include write_total
      end
      --# end
    end
  end
  if captcha == 112 then redis.call('SET', KEYS[ANSWER_KEY], 'u', 'PX', ARGV[10]) end
  counted = sub(challenge, 1, 6) .. char(counted_in, (judged - judged % 256) / 256, judged % 256) .. sub(guard, 7)
end
