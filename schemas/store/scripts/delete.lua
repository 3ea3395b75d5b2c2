-- Deletes a job that has ended. A job whose result answers for others is hidden instead, and deleted with the last of
-- them.
-- KEYS: record, index of jobs, tombstone, record of the job that answers for this one (its own when none does), then
--       the further keys of the job, and those of the one that answers for it; callbacks are the last of both
-- ARGV: job id, time to live of the tombstone (ms)
-- Returns 1, or 0 when there is no such job.
local record, index, tombstone, leader = unpack(KEYS, 1, 4)
local job_id, tombstone_ttl = unpack(ARGV)
local now = server_time()
local own = (#KEYS - 4) / 2

-- Whether a job answers for others.
local function needed(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 9) == 'follower:' or string.sub(field, 1, 9) == 'answered:' then
      return true
    end
  end
  return false
end

if redis.call('EXISTS', record) == 0 or redis.call('HEXISTS', record, 'deleted') == 1 then
  return 0
end
redis.call('ZREM', index, job_id)
redis.call('SET', tombstone, now, 'PX', tombstone_ttl)
if needed(record) then
  redis.call('HDEL', KEYS[4 + own], job_id)
  redis.call('HSET', record, 'deleted', now)
  return 1
end
redis.call('UNLINK', record, unpack(KEYS, 5, 4 + own))
if leader ~= record then
  redis.call('HDEL', leader, 'follower:' .. job_id, 'answered:' .. job_id)
  redis.call('HDEL', KEYS[#KEYS], job_id)
  local deleted, ended = unpack(redis.call('HMGET', leader, 'deleted', 'ended'))
  if deleted and ended and not needed(leader) then
    redis.call('UNLINK', leader, unpack(KEYS, 5 + own))
  end
end
return 1
