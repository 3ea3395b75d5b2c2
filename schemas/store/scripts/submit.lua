-- Accepts a job: creates its record and publishes its request, or says why not.
-- KEYS: 1 requests stream, 2 job metadata, 3 active jobs, 4 index of jobs
-- ARGV: 1 most entries the stream may hold, 2 field and 3 bytes of the message, 4 encoded request,
--       5 time to live of the record (ms), 6 latest end (ms), 7 job id, 8 now (ms), 9.. field, value of the record
-- Returns {"accepted"}, {"full", length}, {"same", created_at} or {"taken"}.
if redis.call('EXISTS', KEYS[2]) == 1 then
  local known = redis.call('HMGET', KEYS[2], 'request', 'created_at')
  if known[1] == ARGV[4] then
    return {'same', known[2]}
  end
  return {'taken'}
end
local length = redis.call('XLEN', KEYS[1])
if length >= tonumber(ARGV[1]) then
  return {'full', length}
end
redis.call('HSET', KEYS[2], 'request', ARGV[4], unpack(ARGV, 9))
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[6], ARGV[7])
redis.call('ZADD', KEYS[4], ARGV[8], ARGV[7])
redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3])
return {'accepted'}
