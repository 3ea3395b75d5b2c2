-- Sets fields of a job's record, if it still exists.
-- KEYS: record
-- ARGV: fields and values
-- Returns 1, or 0 when there is no such job.
local record = KEYS[1]
if redis.call('EXISTS', record) == 0 then
  return 0
end
redis.call('HSET', record, unpack(ARGV))
return 1
