-- Record what the send counts in on other nodes: the time in the region 6 (or now), scopes 1, judged 2, the time in the range 6
-- [, the wrong code that counted a guess at its challenge 16 [, the verification that moved it 16]]. The nodes' clocks may differ.
if counts_send then
  counted = pack_ms(counted_at > 0 and counted_at or now) .. char(counted_in, (judged - judged % 256) / 256, judged % 256)
    .. pack_ms(range_at)
end
