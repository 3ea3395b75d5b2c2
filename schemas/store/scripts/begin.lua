-- Begins a job, or begins it again after a crash. Creates the record of a job that was published directly.
-- KEYS: 1 job metadata, 2 active jobs, 3 index of jobs
-- ARGV: 1 time to live of the record (ms), 2 latest end (ms), 3 job id, 4 now (s), 5.. field, value of a new record
-- Returns 0 when the job has ended or is answered by another one, else 1.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 5))
  redis.call('ZADD', KEYS[3], ARGV[4] * 1000, ARGV[3])
end
local state = redis.call('HMGET', KEYS[1], 'ended', 'alias')
if state[1] or state[2] then
  return 0
end
if redis.call('HSETNX', KEYS[1], 'started', ARGV[4]) == 1 then
  redis.call('HSET', KEYS[1], 'status', 'processing')
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
