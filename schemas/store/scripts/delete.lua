-- Deletes a job that has ended. A job whose result answers for others is hidden instead, and deleted with the last of
-- them.
-- KEYS: record, active jobs, index of jobs, tombstone, record of the job that answers for this one (its own when none
--       does), then the further keys of the job, and those of the one that answers for it; results are the first, callbacks
--       the last of both
-- ARGV: job id, the job that answers for it, time to live of the tombstone (ms)
-- Returns 1, 0 when there is no such job or it has not ended, -1 when another job answers for it by now.
local record, active, index, tombstone, leader = unpack(KEYS, 1, 5)
local job_id, leader_id, tombstone_ttl = unpack(ARGV)
local now = server_time()
local own = (#KEYS - 5) / 2
local ended, withdrawn, deleted, alias =
  unpack(redis.call('HMGET', record, 'ended', 'withdrawn', 'deleted', 'alias'))
local over = ended or withdrawn or (alias and redis.call('HEXISTS', leader, 'ended') == 1)
if deleted or not over then
  return 0
end
if (alias or job_id) ~= leader_id then
  return -1
end
redis.call('ZREM', index, job_id)
redis.call('SET', tombstone, now, 'PX', tombstone_ttl)
if answers(record) then
  redis.call('HDEL', KEYS[5 + own], job_id)
  redis.call('HSET', record, 'deleted', now)
  shorten(record, KEYS[6], KEYS[5 + own])
  unshare(record)
  return 1
end
redis.call('UNLINK', record, unpack(KEYS, 6, 5 + own))
unshare(record)
if alias then
  redis.call('HDEL', leader, 'follower:' .. job_id, 'answered:' .. job_id)
  redis.call('HDEL', KEYS[#KEYS], job_id)
  shorten(leader, KEYS[6 + own], KEYS[#KEYS])
  abandon(leader, active, leader_id, now, 6 + own, #KEYS)
end
return 1
