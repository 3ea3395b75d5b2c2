-- Moves a message from its stream to the delay set.
-- KEYS: stream, delay set (sorted set: message → Unix time in ms at which it is due)
-- ARGV: group, consumer, entry id, delay (ms), the message: its replays, a colon, its bytes
-- Returns 1, or 0 when another consumer owns the entry.
local stream, delay_set = unpack(KEYS)
local group, consumer, id, delay, message = unpack(ARGV)
if not owns(stream, group, consumer, id) then
  return 0
end
local now = redis.call('TIME')
redis.call('ZADD', delay_set, now[1] * 1000 + math.floor(now[2] / 1000) + delay, message)
acknowledge(stream, group, id)
return 1
