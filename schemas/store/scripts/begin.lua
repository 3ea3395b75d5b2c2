-- Begins an accepted job, or restarts it after a crash.
-- KEYS: record, active jobs
-- ARGV: time to live of the record (ms), latest end (ms), job id, now (s), encoded request
-- Returns "begun"; "over" when the job has ended, was deleted, or another one answers for it; "taken" when the record
-- belongs to another request.
local record, active = unpack(KEYS)
local ttl, latest_end, job_id, now, request = unpack(ARGV)
local known, ended, alias = unpack(redis.call('HMGET', record, 'request', 'ended', 'alias'))
if known and known ~= request then
  return 'taken'
end
if not known or ended or alias then
  return 'over'
end
if redis.call('HSETNX', record, 'started', now) == 1 then
  redis.call('HSET', record, 'status', 'processing')
  redis.call('ZADD', active, latest_end, job_id)
  redis.call('PEXPIRE', record, ttl)
end
return 'begun'
