-- Makes an accepted face searchable, once.
-- KEYS: 1 pending, 2 state, 3 order, 4 vectors, 5 thumbnails
-- ARGV: 1 face, 2 vector, 3 thumbnail ('' for none)
-- Returns 1 when it is, now or since before, 0 when it was erased meanwhile.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return redis.call('ZSCORE', KEYS[3], ARGV[1]) and 1 or 0
end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[1], ARGV[3])
end
redis.call('ZADD', KEYS[3], redis.call('HINCRBY', KEYS[2], 'added', 1), ARGV[1])
return 1
