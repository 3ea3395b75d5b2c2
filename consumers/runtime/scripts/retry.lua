-- Takes a message off its stream, to return later.
-- KEYS: stream, delayed messages (sorted set: message by the time it is due, ms)
-- ARGV: group, consumer, entry id, delay (ms), the message: its replays, a colon, its bytes
-- Returns 1, or 0 when another consumer owns the entry.
local stream, delayed = unpack(KEYS)
local group, consumer, id, delay, message = unpack(ARGV)
if not owns(stream, group, consumer, id) then
  return 0
end
local now = redis.call('TIME')
redis.call('ZADD', delayed, now[1] * 1000 + math.floor(now[2] / 1000) + delay, message)
acknowledge(stream, group, id)
return 1
