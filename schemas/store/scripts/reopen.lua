-- Reopens a job that ended without some of its frames, so that they can be replayed.
-- KEYS: record, active jobs, outcomes, then what else the running job needs
-- ARGV: job id, time to live (ms) while the job runs, longest time that it may take (ms), run of the frames
-- Returns 1, or 0 when the job has not ended, has run again or answers for others, or its frames are no longer kept.
local record, active, outcomes = unpack(KEYS, 1, 3)
local job_id, ttl, longest, run = unpack(ARGV)
local status, ended, alias, current = unpack(redis.call('HMGET', record, 'status', 'ended', 'alias', 'run'))
if (run ~= '' and run ~= current) or answers(record) then
  return 0
end
if not ended or alias or status == 'cancelled' or redis.call('EXISTS', outcomes) == 0 then
  return 0
end
redis.call('HDEL', record, 'ended', 'finalized', 'error', 'summary')
redis.call('HSET', record, 'status', 'processing')
redis.call('ZADD', active, milliseconds(server_time()) + longest, job_id)
redis.call('PEXPIRE', record, ttl)
for i = 3, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
unshare(record)
share(record)
return 1
