-- Begins a job, or restarts it after a crash. Creates the record of a job that was published directly.
-- KEYS: record, active jobs, index of jobs
-- ARGV: time to live of the record (ms), latest end (ms), job id, now (s), then fields and values of a new record
-- Returns 0 when the job has ended or another one answers for it, else 1.
local record, active, index = unpack(KEYS)
local ttl, latest_end, job_id, now = unpack(ARGV, 1, 4)
if redis.call('EXISTS', record) == 0 then
  redis.call('HSET', record, unpack(ARGV, 5))
  redis.call('ZADD', index, now * 1000, job_id)
end
local ended, alias = unpack(redis.call('HMGET', record, 'ended', 'alias'))
if ended or alias then
  return 0
end
if redis.call('HSETNX', record, 'started', now) == 1 then
  redis.call('HSET', record, 'status', 'processing')
  redis.call('ZADD', active, latest_end, job_id)
  redis.call('PEXPIRE', record, ttl)
end
return 1
