-- Takes a message off its stream, to come back later.
-- KEYS: 1 stream, 2 delayed messages (sorted set: message by the time it is due, ms)
-- ARGV: 1 group, 2 consumer, 3 entry id, 4 delay (ms), 5 the message: its replays, a colon, its bytes
-- Returns 1, or 0 when another consumer owns the entry.
if not owns(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return 0
end
local now = redis.call('TIME')
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4], ARGV[5])
acknowledge(KEYS[1], ARGV[1], ARGV[3])
return 1
