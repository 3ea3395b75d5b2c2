-- Accepts a face for a collection, which begins with its first one, and publishes the task to enrol it.
-- KEYS: names of collections, stream, state, people, labels, roll, faces, members, pending
-- ARGV: collection, most entries of the stream, model, label, id for a new person, face, its encoded origin, the
--       encoded candidate, epoch of a new collection, now, field and bytes of the message
-- Returns {"new", person}, {"known", person}, {"taken", label}, {"model", model} or {"full", length}.
local collections, stream, state, people, labels, roll, faces, members, pending = unpack(KEYS)
local collection, limit, model, label, new_person, face, origin, candidate, epoch, now, field, message = unpack(ARGV)
local length = redis.call('XLEN', stream)
if length >= tonumber(limit) then
  return {'full', length}
end
local current_model = redis.call('HGET', state, 'model')
if current_model and current_model ~= model and redis.call('EXISTS', members) == 1 then
  return {'model', current_model}
end
local enrolled = redis.call('HGET', faces, face)
if enrolled then
  local person = string.match(enrolled, '^%S+')
  local current_label = redis.call('HGET', people, person)
  if current_label ~= label then
    return {'taken', current_label}
  end
  redis.call('XADD', stream, '*', field, message)
  return {'known', person}
end
redis.call('SADD', collections, collection)
redis.call('HSETNX', state, 'epoch', epoch)
redis.call('HSETNX', state, 'created_at', now)
redis.call('HSET', state, 'model', model)
local person = redis.call('HGET', labels, label)
if not person then
  person = new_person
  redis.call('HSET', labels, label, person)
  redis.call('HSET', people, person, label)
  redis.call('ZADD', roll, redis.call('HINCRBY', state, 'numbered', 1), person)
end
redis.call('HSET', faces, face, person .. ' ' .. origin)
redis.call('ZADD', members, 0, person .. '/' .. face)
redis.call('HSET', pending, face, candidate)
redis.call('XADD', stream, '*', field, message)
return {'new', person}
