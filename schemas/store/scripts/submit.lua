-- Accepts a job: creates its record and publishes its request, or returns why not.
-- KEYS: requests stream, record, active jobs, index of jobs, tombstone
-- ARGV: most entries of the stream, field and bytes of the message, encoded request, time to live of the record (ms),
--       latest end (ms), job id, now (ms), then fields and values of the record
-- Returns {"accepted"}, {"full", length}, {"same", created_at} or {"taken"}.
local requests, record, active, index, tombstone = unpack(KEYS)
local limit, field, message, request, ttl, latest_end, job_id, now = unpack(ARGV, 1, 8)
if redis.call('EXISTS', record) == 1 then
  local current_request, created_at = unpack(redis.call('HMGET', record, 'request', 'created_at'))
  if current_request == request then
    return {'same', created_at}
  end
  return {'taken'}
end
local length = redis.call('XLEN', requests)
if length >= tonumber(limit) then
  return {'full', length}
end
redis.call('HSET', record, 'request', request, unpack(ARGV, 9))
redis.call('PEXPIRE', record, ttl)
redis.call('DEL', tombstone)
redis.call('ZADD', active, latest_end, job_id)
redis.call('ZADD', index, now, job_id)
redis.call('XADD', requests, '*', field, message)
return {'accepted'}
