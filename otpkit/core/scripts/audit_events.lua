-- Write security events to the audit. A stranger can cause them, so each hour has few entries.
--
-- An event that is told apart by its scope and subject is counted, and written at the first, the tenth, the hundredth … time in the
-- hour. Subjects after MOST_SUBJECTS are counted together. Any other event is written each time; of one action, those after
-- MOST_ENTRIES are counted and written in the same way.
--
-- KEYS  1 stream_key: see append_audit.lua; 2 counts_key: one hash for the current hour: hour, subjects, and a count for each "action
--       scope subject" or action
-- ARGV  1 now: in ms, or ''; 2… events: an id, an action, the phone's pseudonym or '', a scope or '', a subject or '', how many there
--       were, and 1 if each is written or 0 if they are counted
-- Returns 1

--# include clock append_audit

local MOST_SUBJECTS, MOST_ENTRIES, LIFE_MS = 50, 100, '7200000'
local hour = string.format('%.0f', (now - now % 3600000) / 3600000)
if redis.call('HGET', KEYS[2], 'hour') ~= hour then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], 'hour', hour) -- A full server refuses it: strangers can't fill it further.
redis.call('PEXPIRE', KEYS[2], LIFE_MS)

for i = 2, #ARGV, 7 do
  local action, phone_id, scope, subject, more = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5])
  local is_single, field = ARGV[i + 6] == '1', ARGV[i + 1]
  if not is_single then
    field = action .. ' ' .. scope .. ' ' .. subject
    if not redis.call('HGET', KEYS[2], field) then
      local subjects = tonumber(redis.call('HGET', KEYS[2], 'subjects') or 0)
      if subjects < MOST_SUBJECTS then
        redis.call('HSET', KEYS[2], 'subjects', subjects + 1)
      else
        field, phone_id, scope, subject = action .. ' - -', '', '', ''
      end
    end
  end
  local before = tonumber(redis.call('HGET', KEYS[2], field) or 0)
  local count = before + more
  redis.call('HSET', KEYS[2], field, count)
  if is_single and before < MOST_ENTRIES then
    append(ARGV[i], action, '', '', phone_id, scope, subject, '', more)
  elseif before == 0 or #string.format('%.0f', count) > #string.format('%.0f', before) then
    if is_single then phone_id, scope, subject = '', '', '' end
    append(ARGV[i], action, '', '', phone_id, scope, subject, '', count)
  end
end
return 1
