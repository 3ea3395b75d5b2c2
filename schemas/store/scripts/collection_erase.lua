-- Erases a person with all faces, and publishes the task to erase what lies elsewhere.
-- KEYS: 1 stream, 2 state, 3 people, 4 labels, 5 roll, 6 members, 7 order, 8.. hashes by face
-- ARGV: 1 person, 2 field and 3 bytes of the message
-- Returns 1, or 0 when there is no such person (any more); the task is published all the same.
redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3])
local label = redis.call('HGET', KEYS[3], ARGV[1])
if not label then
  return 0
end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], label)
redis.call('ZREM', KEYS[5], ARGV[1])
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[6], '[' .. ARGV[1] .. '/', '(' .. ARGV[1] .. '0')) do
  local face = string.sub(member, #ARGV[1] + 2)
  redis.call('ZREM', KEYS[6], member)
  redis.call('ZREM', KEYS[7], face)
  for i = 8, #KEYS do
    redis.call('HDEL', KEYS[i], face)
  end
end
redis.call('HINCRBY', KEYS[2], 'erased', 1)
return 1
