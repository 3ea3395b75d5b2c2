-- Gives a person another label.
-- KEYS: people, labels, state
-- ARGV: person, label
-- Returns 1, 0 when there is no such person, -1 when the label is another person's.
local people, labels, state = unpack(KEYS)
local person, label = unpack(ARGV)
local old_label = redis.call('HGET', people, person)
if not old_label then
  return 0
end
local owner = redis.call('HGET', labels, label)
if owner and owner ~= person then
  return -1
end
redis.call('HDEL', labels, old_label)
redis.call('HSET', labels, label, person)
redis.call('HSET', people, person, label)
redis.call('HINCRBY', state, 'renamed', 1)
return 1
