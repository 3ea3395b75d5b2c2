-- Releases a lock.
-- KEYS: lock
-- ARGV: candidate
-- Returns 1, or 0 when another candidate holds it.
local lock, candidate = KEYS[1], ARGV[1]
return redis.call('GET', lock) == candidate and redis.call('DEL', lock) or 0
