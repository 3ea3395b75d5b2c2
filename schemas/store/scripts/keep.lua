-- Sets fields of a hash that belongs to a job, while its run goes on.
-- KEYS: record, hash
-- ARGV: run, time to live of the hash (ms), whether it replaces what the hash holds (1 or 0), then fields and values
-- Returns 1, or 0 when the run is over.
local record, hash = unpack(KEYS)
local run, ttl, replaces = unpack(ARGV, 1, 3)
if not goes_on(record, run) then
  return 0
end
if replaces == '1' then
  redis.call('UNLINK', hash)
end
for i = 4, #ARGV, 2 do
  redis.call('HSET', hash, ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', hash, ttl)
return 1
