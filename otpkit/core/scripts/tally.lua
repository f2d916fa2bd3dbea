-- Count `figure .. what` in the hour of now: the region, the gateway and what is counted, such as " CN twilio v". The label of a
-- call is its beginning, such as " CN twilio ", with the gateway of messages without a record of it, or '.'. It begins with '!' if
-- the figures lie on another node: then the caller counts them. A call without a label is not counted.
--
-- A figure is counted last, and a refusal changes nothing: a server that refuses writes has refused the script's others before.
-- `char` cuts off what is behind the point. Text is converted faster than a number. A function would cost a fiftieth of a call.
local counter = char(now / 235929600000, now / 921600000 % 256, now / 3600000 % 256) .. figure .. what
if redis.pcall('HINCRBY', KEYS[STATS_KEY], counter, '1') == 1 then
  --# include fold
  fold(figure .. what, now, '1')
end
