-- Erases a person with all faces, and publishes the task to erase them from memory and from results.
-- KEYS: stream, state, people, labels, roll, members, order, then hashes by face
-- ARGV: person, field and bytes of the message
-- Returns 1, or 0 when there is no such person; the task is published in both cases.
local stream, state, people, labels, roll, members, order = unpack(KEYS, 1, 7)
local person, field, message = unpack(ARGV)
redis.call('XADD', stream, '*', field, message)
local label = redis.call('HGET', people, person)
if not label then
  return 0
end
redis.call('HDEL', people, person)
redis.call('HDEL', labels, label)
redis.call('ZREM', roll, person)
for _, member in ipairs(redis.call('ZRANGEBYLEX', members, '[' .. person .. '/', '(' .. person .. '0')) do
  local face = string.sub(member, #person + 2)
  redis.call('ZREM', members, member)
  redis.call('ZREM', order, face)
  for i = 8, #KEYS do
    redis.call('HDEL', KEYS[i], face)
  end
end
redis.call('HINCRBY', state, 'erased', 1)
return 1
