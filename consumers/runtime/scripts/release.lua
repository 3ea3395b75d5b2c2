-- Releases entries: other consumers can claim them at once, and the interrupted delivery does not count.
-- KEYS: stream
-- ARGV: group, consumer, consumer of released entries, idle time (ms) that every lease is below, then entry ids
-- Returns how many were released.
local stream = KEYS[1]
local group, consumer, unowned, idle = unpack(ARGV, 1, 4)
local released = 0
for i = 5, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
  if pending then
    redis.call('XCLAIM', stream, group, unowned, 0, id, 'IDLE', idle, 'RETRYCOUNT', math.max(0, pending[4] - 1), 'JUSTID')
    released = released + 1
  end
end
return released
