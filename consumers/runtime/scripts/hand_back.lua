-- Gives entries up so that others claim them at once, and the interrupted delivery does not count.
-- KEYS: stream
-- ARGV: group, consumer, consumer of released entries, idle time (ms) that every lease is below, then entry ids
-- Returns how many were given up.
local stream = KEYS[1]
local group, consumer, unowned, idle = unpack(ARGV, 1, 4)
local given_up = 0
for i = 5, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
  if pending then
    redis.call('XCLAIM', stream, group, unowned, 0, id, 'IDLE', idle, 'RETRYCOUNT', math.max(0, pending[4] - 1), 'JUSTID')
    given_up = given_up + 1
  end
end
return given_up
