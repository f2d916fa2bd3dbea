-- Use up a captcha's answer for one send, or release it if the send is not made. A repeated run returns the same.
--
-- KEYS  1 answer_key: see remember.lua
-- ARGV  1 now: in ms, or '' (unused); 2 operation: the send's id; 3 life_ms: how long a used answer is remembered, or 0 to release
-- Returns 1 if the answer is used by this send, or released; 0 if it was used before

--# include clock

local value, own = redis.call('GET', KEYS[1]), 'u' .. ARGV[2]
if ARGV[3] == '0' then
  if value == own .. 'r' then
    redis.call('SET', KEYS[1], 'r', 'KEEPTTL')
  elseif value == own .. '-' then
    redis.call('DEL', KEYS[1])
  end
  return 1
end
if value and byte(value) == 117 then return sub(value, 1, #own) == own and 1 or 0 end
redis.call('SET', KEYS[1], own .. (value and 'r' or '-'), 'PX', ARGV[3])
return 1
