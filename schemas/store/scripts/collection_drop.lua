-- Deletes a collection, and publishes the task to erase what lies elsewhere.
-- KEYS: 1 names of collections, 2 stream, 3.. all keys of the collection but that of matched jobs, which the task needs
-- ARGV: 1 name, 2 field and 3 bytes of the message
-- Returns 1, or 0 when there is no such collection (any more); the task is published all the same.
redis.call('XADD', KEYS[2], '*', ARGV[2], ARGV[3])
for i = 3, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return redis.call('SREM', KEYS[1], ARGV[1])
