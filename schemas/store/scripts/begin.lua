-- Begins a job, or restarts it after a crash. Creates the record of a job that was published directly.
-- KEYS: record, active jobs, index of jobs, tombstone
-- ARGV: time to live of the record (ms), latest end (ms), job id, now (s), whether the job was submitted with a record
--       (1 or 0), when the request was published (s), encoded request, then fields and values of a new record
-- Returns "begun"; "over" when the job has ended, was deleted, or another one answers for it; "taken" when the record
-- belongs to another request.
local record, active, index, tombstone = unpack(KEYS)
local ttl, latest_end, job_id, now, submitted, published, request = unpack(ARGV, 1, 7)
if redis.call('EXISTS', record) == 0 then
  local deleted = redis.call('GET', tombstone)
  if submitted == '1' or (deleted and tonumber(published) <= tonumber(deleted)) then
    return 'over'
  end
  redis.call('HSET', record, 'request', request, unpack(ARGV, 8))
  redis.call('ZADD', index, now * 1000, job_id)
end
local known, ended, alias = unpack(redis.call('HMGET', record, 'request', 'ended', 'alias'))
if known ~= request then
  return 'taken'
end
if ended or alias then
  return 'over'
end
if redis.call('HSETNX', record, 'started', now) == 1 then
  redis.call('HSET', record, 'status', 'processing')
  redis.call('ZADD', active, latest_end, job_id)
  redis.call('PEXPIRE', record, ttl)
end
return 'begun'
