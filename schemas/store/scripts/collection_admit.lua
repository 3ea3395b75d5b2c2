-- Accepts a face for a collection, which begins with its first one, and publishes the task to enrol it.
-- KEYS: 1 names of collections, 2 stream, 3 state, 4 people, 5 labels, 6 roll, 7 faces, 8 members, 9 pending
-- ARGV: 1 name, 2 most entries the stream may hold, 3 model, 4 label, 5 id for a new person, 6 face, 7 its encoded
--       origin, 8 the encoded candidate, 9 epoch of a new collection, 10 now, 11 field and 12 bytes of the message
-- Returns {"new", person}, {"known", person}, {"taken", label}, {"model", model} or {"full", length}.
local length = redis.call('XLEN', KEYS[2])
if length >= tonumber(ARGV[2]) then
  return {'full', length}
end
local model = redis.call('HGET', KEYS[3], 'model')
if model and model ~= ARGV[3] and redis.call('EXISTS', KEYS[8]) == 1 then
  return {'model', model}
end
local known = redis.call('HGET', KEYS[7], ARGV[6])
if known then
  local person = string.match(known, '^%S+')
  local label = redis.call('HGET', KEYS[4], person)
  if label ~= ARGV[4] then
    return {'taken', label}
  end
  redis.call('XADD', KEYS[2], '*', ARGV[11], ARGV[12])
  return {'known', person}
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSETNX', KEYS[3], 'epoch', ARGV[9])
redis.call('HSETNX', KEYS[3], 'created_at', ARGV[10])
redis.call('HSET', KEYS[3], 'model', ARGV[3])
local person = redis.call('HGET', KEYS[5], ARGV[4])
if not person then
  person = ARGV[5]
  redis.call('HSET', KEYS[5], ARGV[4], person)
  redis.call('HSET', KEYS[4], person, ARGV[4])
  redis.call('ZADD', KEYS[6], redis.call('HINCRBY', KEYS[3], 'numbered', 1), person)
end
redis.call('HSET', KEYS[7], ARGV[6], person .. ' ' .. ARGV[7])
redis.call('ZADD', KEYS[8], 0, person .. '/' .. ARGV[6])
redis.call('HSET', KEYS[9], ARGV[6], ARGV[8])
redis.call('XADD', KEYS[2], '*', ARGV[11], ARGV[12])
return {'new', person}
