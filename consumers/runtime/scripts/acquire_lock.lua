-- Acquires a lock that expires, or renews it for the candidate that holds it: leader election.
-- KEYS: lock
-- ARGV: candidate, time to live (ms)
-- Returns 1 when the candidate holds the lock now, else 0.
local lock = KEYS[1]
local candidate, ttl = unpack(ARGV)
local holder = redis.call('GET', lock)
if holder and holder ~= candidate then
  return 0
end
redis.call('SET', lock, candidate, 'PX', ttl)
return 1
