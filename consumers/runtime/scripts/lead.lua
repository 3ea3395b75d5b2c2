-- Makes one of several the leader for a while, or lets it stay so.
-- KEYS: 1 lock
-- ARGV: 1 who asks, 2 time to live (ms)
-- Returns 1 when the asking one leads, else 0.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
