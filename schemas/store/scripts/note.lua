-- Sets fields of a job's record while its run goes on.
-- KEYS: record
-- ARGV: run, then fields and values
-- Returns 1, or 0 when the run is over.
local record = KEYS[1]
if not goes_on(record, ARGV[1]) then
  return 0
end
redis.call('HSET', record, unpack(ARGV, 2))
return 1
