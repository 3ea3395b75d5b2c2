-- Makes a job the one that answers a cache key, or lets the one that already does answer for it.
-- KEYS: 1 cache key, 2 job metadata, 3 active jobs, 4 metadata and 5 result of the job that answers now
--       (this job's own when none does), 6 events stream, 7 webhooks stream
-- ARGV: 1 job id, 2 job that answers now ('' for none), 3 time to live (ms) of a finished answer,
--       4 time to live (ms) of the cache key while the job runs, 5 now (s), 6 events to keep
-- Returns "leads", "joined", "answered", or "changed" when KEYS 4 and 5 are no longer the right ones.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then
  return 'changed'
end
if ARGV[2] ~= '' and ARGV[2] ~= ARGV[1] then
  local other = redis.call('HMGET', KEYS[4], 'status', 'ended', 'summary')
  local answered = other[1] == 'completed' and redis.call('EXISTS', KEYS[5]) == 1
  if answered or (other[1] and not other[2]) then
    local callback = redis.call('HGET', KEYS[2], 'callback') or ''
    redis.call('HSET', KEYS[2], 'alias', ARGV[2])
    redis.call('ZREM', KEYS[3], ARGV[1])
    if not answered then
      redis.call('HSET', KEYS[4], 'follower:' .. ARGV[1], callback)
      return 'joined'
    end
    redis.call('HSET', KEYS[2], 'status', 'completed', 'ended', ARGV[5])
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
    for _, key in ipairs({KEYS[1], KEYS[4], KEYS[5]}) do
      if redis.call('PTTL', key) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', key, ARGV[3])
      end
    end
    announce(KEYS[6], KEYS[7], ARGV[6], ARGV[1], 'completed', ARGV[5], callback, {'summary', other[3] or nil}, 1)
    return 'answered'
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
redis.call('HSET', KEYS[2], 'cache_key', KEYS[1])
return 'leads'
