-- Ends a job, once: whoever comes later changes nothing.
-- KEYS: 1 job metadata, 2 active jobs, 3 events stream, 4 webhooks stream, 5 metadata of the job that answers for this
--       one (its own when none does), 6 result, 7 cache key (the metadata key when there is none), 8.. keys that the
--       running job needs
-- ARGV: 1 job id, 2 status, 3 now (s), 4 time to live (ms) of record and result, 5 time to live (ms) of the
--       cache key (0: forget it), 6 events to keep, 7 whether frames may be replayed (1: keys 8.. are kept as
--       long as the record), 8.. field, value of the record
-- Returns 1 when this call ended the job, 0 when it had ended or is not known.
-- A job that answers for others, or is answered by another one, is not stopped by being cancelled: it is
-- withdrawn, and the work goes on for the others. The end of every job is told once.
local state = redis.call('HMGET', KEYS[1], 'status', 'ended', 'withdrawn', 'alias', 'callback')
if not state[1] or state[2] or (ARGV[2] == 'cancelled' and state[3]) then
  return 0
end
redis.call('XLEN', KEYS[3]) -- keys of another type fail here, before anything is written
redis.call('XLEN', KEYS[4])
local followers = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 9) == 'follower:' then
    followers[#followers + 1] = string.sub(field, 10)
  end
end
local function tell(job, callback)
  announce(KEYS[3], KEYS[4], ARGV[6], job, ARGV[2], ARGV[3], callback, ARGV, 8)
end
if ARGV[2] == 'cancelled' and (state[4] or #followers > 0) then
  redis.call('HSET', KEYS[1], 'withdrawn', ARGV[3])
  redis.call('HDEL', KEYS[5], 'follower:' .. ARGV[1])
  tell(ARGV[1], state[5])
  return 1
end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'ended', ARGV[3], unpack(ARGV, 8))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[6], ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
if KEYS[7] ~= KEYS[1] and redis.call('GET', KEYS[7]) == ARGV[1] then
  if ARGV[5] == '0' then
    redis.call('DEL', KEYS[7])
  else
    redis.call('PEXPIRE', KEYS[7], ARGV[5])
  end
end
for i = 8, #KEYS do
  if ARGV[7] == '1' then
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  else
    redis.call('UNLINK', KEYS[i])
  end
end
if not state[3] then
  tell(ARGV[1], state[5])
end
for _, follower in ipairs(followers) do
  tell(follower, redis.call('HGET', KEYS[1], 'follower:' .. follower))
end
return 1
