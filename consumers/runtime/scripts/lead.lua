-- Makes one of several candidates the leader for a while, or extends its lead.
-- KEYS: lock
-- ARGV: candidate, time to live (ms)
-- Returns 1 when the candidate leads, else 0.
local lock = KEYS[1]
local candidate, ttl = unpack(ARGV)
local leader = redis.call('GET', lock)
if leader and leader ~= candidate then
  return 0
end
redis.call('SET', lock, candidate, 'PX', ttl)
return 1
