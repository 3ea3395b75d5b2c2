-- Deletes a collection, and publishes the task to erase its people from memory and from results.
-- KEYS: names of collections, stream, then all keys of the collection but that of matched jobs, which the task reads
-- ARGV: collection, field and bytes of the message
-- Returns 1, or 0 when there is no such collection; the task is published in both cases.
local collections, stream = unpack(KEYS, 1, 2)
local collection, field, message = unpack(ARGV)
redis.call('XADD', stream, '*', field, message)
for i = 3, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return redis.call('SREM', collections, collection)
