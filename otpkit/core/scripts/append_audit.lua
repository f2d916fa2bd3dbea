-- Append an entry to a stream of the audit, which is the first key. Texts are JSON strings without their quotes, in ASCII.
--
-- Entries older than AUDIT_LIFE leave, and of more than AUDIT_LENGTH the oldest. The id of an entry is its time. Ids ascend: after a
-- failover to a slower clock, entries have the latest time until the clock reaches it.

local function append(operation, action, actor, reason, phone_id, scope, subject, outcome, times)
  redis.call('XTRIM', KEYS[1], 'MINID', max(0, now - AUDIT_LIFE)) -- It comes first, so that a full server has room for the rest.
  local latest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')[1]
  local id = string.format('%.0f-0', now)
  if latest then
    local ms, number = string.match(latest[1], '^(%d+)-(%d+)$')
    if tonumber(ms) >= now then id = string.format('%s-%.0f', ms, number + 1) end
  end
  redis.call('XADD', KEYS[1], 'MAXLEN', 'AUDIT_LENGTH', id, 'operation', operation, 'action', action, 'actor', actor,
    'reason', reason, 'phone_id', phone_id, 'scope', scope, 'subject', subject, 'outcome', outcome, 'times', times)
  if redis.call('PTTL', KEYS[1]) < AUDIT_LIFE then redis.call('PEXPIRE', KEYS[1], 'AUDIT_LIFE') end
end
