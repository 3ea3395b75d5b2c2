-- Notes something about a job that is not forgotten yet.
-- KEYS: 1 job metadata
-- ARGV: field, value of the record
-- Returns 1, or 0 when there is no such job any more.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
