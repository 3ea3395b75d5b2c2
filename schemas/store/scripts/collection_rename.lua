-- Gives a person another label.
-- KEYS: 1 people, 2 labels
-- ARGV: 1 person, 2 label
-- Returns 1, 0 when there is no such person, -1 when the label is another one's.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before then
  return 0
end
local owner = redis.call('HGET', KEYS[2], ARGV[2])
if owner and owner ~= ARGV[1] then
  return -1
end
redis.call('HDEL', KEYS[2], before)
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
