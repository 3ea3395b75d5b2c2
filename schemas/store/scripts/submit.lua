-- Accepts a job: creates its record and sends it to the frames stage, or returns why not.
-- KEYS: stream of accepted jobs, record, active jobs, index of jobs, tombstone, callbacks
-- ARGV: most entries of the stream, field and bytes of the message (empty: it is not sent), encoded request, time to
--       live of the record (ms), longest wait (ms), job id, when the request was published (s, empty: now), callback
--       (empty: none), then fields and values of the record
-- Returns {"accepted", created}, {"full", length}, {"same", created}, {"taken"}, or {"deleted"} when the job was deleted
-- after the request was published.
local accepted, record, active, index, tombstone, callbacks = unpack(KEYS)
local limit, field, message, request, ttl, longest_wait, job_id, published, callback = unpack(ARGV, 1, 9)
if redis.call('EXISTS', record) == 1 then
  local current_request, created = unpack(redis.call('HMGET', record, 'request', 'created'))
  if current_request == request and (redis.call('HGET', callbacks, job_id) or '') == callback then
    return {'same', created}
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
local now = server_time()
redis.call('HSET', record, 'request', request, 'created', now, unpack(ARGV, 10))
redis.call('PEXPIRE', record, ttl)
redis.call('DEL', tombstone)
if callback ~= '' then
  redis.call('HSET', callbacks, job_id, callback)
  redis.call('PEXPIRE', callbacks, ttl)
end
redis.call('ZADD', active, milliseconds(now) + longest_wait, job_id)
redis.call('ZADD', index, milliseconds(now), job_id)
if message ~= '' then
  redis.call('XADD', accepted, '*', field, message)
end
return {'accepted', now}
