-- Records that the result of a job is about to name people, so that erasing one of them finds the job.
-- KEYS: people, matched
-- ARGV: job id, time (s) that its result is kept, then people
-- Returns the label of each, false for one that has been erased and must not be named.
local people, matched = unpack(KEYS)
local job_id, kept = unpack(ARGV, 1, 2)
local now = server_time()
redis.call('ZREMRANGEBYSCORE', matched, '-inf', '(' .. now)
local labels = {}
for i = 3, #ARGV do
  labels[i - 2] = redis.call('HGET', people, ARGV[i])
  if labels[i - 2] then
    redis.call('ZADD', matched, 'GT', now + kept, ARGV[i] .. ' ' .. job_id)
  end
end
return labels
