-- Count a figure: a region, a gateway and what is counted, such as " CN twilio v". The label of a call is its beginning, such as
-- " CN twilio ", with the gateway of messages without a record of it, or '.'. It begins with '!' if the figures lie on another
-- node: then the caller counts them. A call without a label is not counted.
--
-- A figure is counted last, and a refusal changes nothing: a server that refuses writes has refused the script's others before.

-- Count it in the hour of `ms`; `one` is '1', or '-1' to take it back. `char` cuts off what is behind the point. Text is converted
-- faster than a number. The function has no local of the script: each costs a thousandth of a call.
local function tally(figure, ms, one)
  local name = string.char(ms / 235929600000, ms / 921600000 % 256, ms / 3600000 % 256) .. figure
  if redis.pcall('HINCRBY', KEYS[STATS_KEY], name, one) == tonumber(one) then
    --# include fold
    pcall(fold)
  end
end
