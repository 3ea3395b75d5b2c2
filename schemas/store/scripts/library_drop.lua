-- Deletes a library.
-- KEYS: names of the libraries, then all keys of the library
-- ARGV: library, id of the last entry the worker knows
-- Returns 1, or 0 when the log has other entries: nothing is deleted.
local library, known = unpack(ARGV)
if (redis.call('HGET', KEYS[2], 'last') or '') ~= known then
  return 0
end
redis.call('SREM', KEYS[1], library)
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 1
