-- Define `now` in ms, the `label` that figures count under (see tally.lua), and short names for functions that every script calls. The loader inserts the policy's numbers where
-- scripts use them: times in ms, rates as limit, window, limit, window…, the longest window last.

local byte, char, sub, max, min = string.byte, string.char, string.sub, math.max, math.min

local DAY_MS = 86400000
local SETTLE_MS = 30000 -- A send that is not settled by then is uncertain.

local now, label = nil, ARGV[1]
if label < '0' then -- It begins with no digit.
  local time = redis.call('TIME') -- Read it once: on some servers it advances during a script.
  local us = tonumber(time[2])
  now = time[1] * 1000 + (us - us % 1000) / 1000
else
  now, label = string.match(label, '^(%d+)(.*)$')
  now = tonumber(now)
end
