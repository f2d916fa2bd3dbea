-- Count a figure: a region, a gateway and what is counted, such as " CN twilio v". The label of a call is its beginning, such as
-- " CN twilio ", with the gateway of messages without a record of it, or '.'. It begins with '!' if the figures lie on another
-- node: then the caller counts them. The label '' counts nothing.
--
-- A figure is counted last, and a refusal changes nothing: a server that refuses writes has refused the script's others before.

local function tally(figure, number, hour)
  number, hour = number or 1, hour or (now - now % 3600000) / 3600000
  if byte(figure) == 32 and redis.pcall('HINCRBY', KEYS[FIGURES], hour .. figure, number) == number then
    --# include fold
    pcall(fold, figure, number, hour)
  end
end
