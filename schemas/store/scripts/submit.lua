-- Accepts a job: creates its record and sends it to the frames stage, or returns why not.
-- KEYS: stream of accepted jobs, record, active jobs, index of jobs, tombstone
-- ARGV: most entries of the stream, field and bytes of the message (empty: it is not sent), encoded request, time to
--       live of the record (ms), latest end (ms), job id, now (ms), when the request was published (s, empty: now),
--       then fields and values of the record
-- Returns {"accepted"}, {"full", length}, {"same", created_at}, {"taken"}, or {"deleted"} when the job was deleted after
-- the request was published.
local accepted, record, active, index, tombstone = unpack(KEYS)
local limit, field, message, request, ttl, latest_end, job_id, now, published = unpack(ARGV, 1, 9)
if redis.call('EXISTS', record) == 1 then
  local current_request, created_at = unpack(redis.call('HMGET', record, 'request', 'created_at'))
  if current_request == request then
    return {'same', created_at}
  end
  return {'taken'}
end
local deleted = published ~= '' and redis.call('GET', tombstone)
if deleted and tonumber(published) <= tonumber(deleted) then
  return {'deleted'}
end
local length = redis.call('XLEN', accepted)
if length >= tonumber(limit) then
  return {'full', length}
end
redis.call('HSET', record, 'request', request, unpack(ARGV, 10))
redis.call('PEXPIRE', record, ttl)
redis.call('DEL', tombstone)
redis.call('ZADD', active, latest_end, job_id)
redis.call('ZADD', index, now, job_id)
if message ~= '' then
  redis.call('XADD', accepted, '*', field, message)
end
return {'accepted'}
