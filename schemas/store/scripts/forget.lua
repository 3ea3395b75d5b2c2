-- Forgets what was seen in the pictures of a source.
-- KEYS: observations, jobs of the source, sources by their last use, sizes of the sources, sources of the jobs
-- ARGV: source
-- Returns nothing.
local kept, jobs, ages, sizes, observed = unpack(KEYS)
local source = ARGV[1]
for _, job in ipairs(redis.call('SMEMBERS', jobs)) do
  if redis.call('HGET', observed, job) == source then
    redis.call('HDEL', observed, job)
  end
end
redis.call('HINCRBY', sizes, 'total', -tonumber(redis.call('HGET', sizes, source) or 0))
redis.call('HDEL', sizes, source)
redis.call('ZREM', ages, source)
redis.call('UNLINK', kept, jobs)
