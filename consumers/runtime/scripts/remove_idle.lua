-- Removes consumers without pending entries: deleting one drops its pending entries, so both happen in one step.
-- KEYS: stream
-- ARGV: group, shortest idle time (ms), the only consumer to consider ('' for all)
-- Returns how many were removed.
local stream = KEYS[1]
local group, min_idle, only = unpack(ARGV)
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  local considered = only == '' or only == consumer.name
  if considered and consumer.pending == 0 and consumer.idle >= tonumber(min_idle) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
    removed = removed + 1
  end
end
return removed
