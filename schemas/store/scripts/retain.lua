-- Keeps a completed job, with the result that answers for it, until it is deleted.
-- KEYS: record and callbacks of the job, record and result of the job that answers for this one (its own when none does)
-- ARGV: job id, the job that answers for it
-- Returns 1, 0 when there is no such job or no result any more, -1 when another job answers for it by now.
local record, callbacks, leader, result = unpack(KEYS)
local job_id, leader_id = unpack(ARGV)
local alias, deleted, withdrawn = unpack(redis.call('HMGET', record, 'alias', 'deleted', 'withdrawn'))
if deleted or withdrawn or redis.call('EXISTS', record) == 0 then
  return 0
end
if (alias or job_id) ~= leader_id then
  return -1
end
if redis.call('HGET', leader, 'status') ~= 'completed' or redis.call('EXISTS', result) == 0 then
  return 0
end
redis.call('HSET', record, 'kept', server_time())
redis.call('HSET', leader, 'kept', server_time())
for _, key in ipairs({record, callbacks, leader, result}) do
  redis.call('PEXPIRE', key, KEPT_TTL)
end
share(record)
share(leader)
extend_shared_result(result)
return 1
