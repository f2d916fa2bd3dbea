-- Count figures that the scripts of phones can't count, because these lie on other nodes. A repeated run counts nothing.
--
-- KEYS  1 stats_key: see fold.lua; 2 memory_key: it remembers the operation for a minute
-- ARGV  1 now: in ms, or ''; 2… figures: see tally.lua
-- Returns 1 if they are counted now, else 0

--# include clock

if redis.call('SET', KEYS[2], '', 'PX', '60000', 'NX') then
  for i = 2, #ARGV do
    local figure, what = ARGV[i], ''
    --# include tally
  end
  return 1
end
return 0
