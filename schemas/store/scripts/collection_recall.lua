-- Records that the result of a job is about to name people, so that erasing one of them finds the job.
-- KEYS: people, matched
-- ARGV: job id, time (s) until which its result is kept, now (s), then people
-- Returns the label of each, false for one that has been erased and must not be named.
local people, matched = unpack(KEYS)
local job_id, kept_until, now = unpack(ARGV, 1, 3)
redis.call('ZREMRANGEBYSCORE', matched, '-inf', '(' .. now)
local labels = {}
for i = 4, #ARGV do
  labels[i - 3] = redis.call('HGET', people, ARGV[i])
  if labels[i - 3] then
    redis.call('ZADD', matched, kept_until, ARGV[i] .. ' ' .. job_id)
  end
end
return labels
