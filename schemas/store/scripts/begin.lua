-- Begins an accepted job, or restarts it after a crash.
-- KEYS: record, active jobs
-- ARGV: time to live of the record (ms), longest time that the job may take (ms), job id, encoded request, the same
--       with its callback ('' for none), as earlier versions stored it
-- Returns "begun"; "over" when the job has ended, was deleted, or another one answers for it; "taken" when the record
-- belongs to another request.
local record, active = unpack(KEYS)
local ttl, longest, job_id, request, with_callback = unpack(ARGV)
local known, ended, alias = unpack(redis.call('HMGET', record, 'request', 'ended', 'alias'))
if known and known ~= request and known ~= with_callback then
  return 'taken'
end
if not known or ended or alias then
  return 'over'
end
local now = server_time()
if redis.call('HSETNX', record, 'started', now) == 1 then
  redis.call('HSET', record, 'status', 'processing')
  redis.call('ZADD', active, milliseconds(now) + longest, job_id)
  redis.call('PEXPIRE', record, ttl)
end
return 'begun'
