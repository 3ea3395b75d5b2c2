-- Begins the run of an accepted job, or restarts it after a crash.
-- KEYS: record, active jobs
-- ARGV: time to live of the record (ms), longest time that the job may take (ms), job id, encoded request, the same
--       with its callback ('' for none), as earlier versions stored it, run (empty: the present one)
-- Returns "begun"; "over" when the run is over or another job answers for this one; "taken" when the record belongs to
-- another request.
local record, active = unpack(KEYS)
local ttl, longest, job_id, request, with_callback, run = unpack(ARGV)
if run ~= '' and redis.call('EXISTS', record) == 1 then
  redis.call('HSETNX', record, 'run', run) -- the version before does not record it
end
if not goes_on(record, run) then
  return 'over'
end
local known, alias = unpack(redis.call('HMGET', record, 'request', 'alias'))
if known ~= request and known ~= with_callback then
  return 'taken'
end
if alias then
  return 'over'
end
local now = server_time()
if redis.call('HSETNX', record, 'started', now) == 1 then
  redis.call('HSET', record, 'status', 'processing')
  redis.call('ZADD', active, milliseconds(now) + longest, job_id)
  redis.call('PEXPIRE', record, ttl)
  share(record)
end
return 'begun'
