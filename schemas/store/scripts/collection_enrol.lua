-- Makes an accepted face searchable, once.
-- KEYS: pending, state, order, vectors, thumbnails
-- ARGV: face, vector, thumbnail ('' for none)
-- Returns 1 when it is searchable, 0 when it has been erased.
local pending, state, order, vectors, thumbnails = unpack(KEYS)
local face, vector, thumbnail = unpack(ARGV)
if redis.call('HDEL', pending, face) == 0 then
  return redis.call('ZSCORE', order, face) and 1 or 0
end
redis.call('HSET', vectors, face, vector)
if thumbnail ~= '' then
  redis.call('HSET', thumbnails, face, thumbnail)
end
redis.call('ZADD', order, redis.call('HINCRBY', state, 'added', 1), face)
return 1
