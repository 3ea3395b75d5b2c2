-- Notes that the result of a job is about to tell of people, so that erasing one of them finds the job.
-- KEYS: 1 people, 2 matched
-- ARGV: 1 job, 2 until when (s) its result is kept, 3 now (s), 4.. people
-- Returns the label of each, false for one who has been erased and must not be told of.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3])
local labels = {}
for i = 4, #ARGV do
  labels[i - 3] = redis.call('HGET', KEYS[1], ARGV[i])
  if labels[i - 3] then
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i] .. ' ' .. ARGV[1])
  end
end
return labels
