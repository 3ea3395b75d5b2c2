-- Removes consumers that hold nothing: deleting one drops what it has pending, so both happen here.
-- KEYS: 1 stream
-- ARGV: 1 group, 2 shortest idle time (ms), 3 the only consumer to look at ('' for all)
-- Returns how many were removed.
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  local asked = ARGV[3] == '' or ARGV[3] == consumer.name
  if asked and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
