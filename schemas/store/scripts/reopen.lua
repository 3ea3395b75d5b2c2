-- Begins a job again that ended without some of its frames, so that they can be replayed.
-- KEYS: 1 job metadata, 2 active jobs, 3 outcomes, 4.. what else the running job needs
-- ARGV: 1 job id, 2 time to live (ms) while the job runs, 3 latest end (ms)
-- Returns 1, or 0 when the job has not ended, or nothing of its frames was kept.
local state = redis.call('HMGET', KEYS[1], 'status', 'ended', 'alias')
if not state[2] or state[3] or state[1] == 'cancelled' or redis.call('EXISTS', KEYS[3]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[1], 'ended', 'finalized', 'error', 'summary')
redis.call('HSET', KEYS[1], 'status', 'processing')
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 3, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
return 1
