-- Makes a job the leader of a cache key, which answers for later jobs, or lets the present leader answer for it.
-- KEYS: cache key, record, active jobs, record and result of the present leader (the job's own when there is none),
--       events stream, webhooks stream, callbacks of the job and of the present leader
-- ARGV: job id, present leader ('' for none), time to live (ms) of a finished answer, time to live (ms) of the cache
--       key while the job runs, events to keep, run
-- Returns "leads", "joined" (also when its run is over or it has joined before), "answered", or "changed" when the key
-- has another leader by now.
local cache_key, record, active, leader_record, leader_result, events, webhooks = unpack(KEYS, 1, 7)
local callbacks, leader_callbacks = unpack(KEYS, 8)
local job_id, leader, answer_ttl, running_ttl, events_kept, run = unpack(ARGV)
local now = server_time()
if not goes_on(record, run) or redis.call('HEXISTS', record, 'alias') == 1 then
  return 'joined'
end
if (redis.call('GET', cache_key) or '') ~= leader then
  return 'changed'
end
if leader ~= '' and leader ~= job_id then
  local status, ended, summary, deleted, other =
    unpack(redis.call('HMGET', leader_record, 'status', 'ended', 'summary', 'deleted', 'alias'))
  local answered = status == 'completed' and redis.call('EXISTS', leader_result) == 1
  if not deleted and not other and (answered or (status and not ended)) then
    local callback = redis.call('HGET', callbacks, job_id)
    redis.call('HSET', record, 'alias', leader, 'alias_run', redis.call('HGET', leader_record, 'run') or '')
    redis.call('ZREM', active, job_id)
    if not answered then
      redis.call('HSET', leader_record, 'follower:' .. job_id, '')
      if callback then
        redis.call('HSET', leader_callbacks, job_id, callback)
        redis.call('PEXPIRE', leader_callbacks, math.max(1, redis.call('PTTL', leader_record)))
      end
      share(record)
      return 'joined'
    end
    redis.call('HSET', leader_record, 'answered:' .. job_id, '')
    redis.call('HSET', record, 'status', 'completed', 'ended', now)
    redis.call('PEXPIRE', record, answer_ttl)
    redis.call('PEXPIRE', callbacks, answer_ttl)
    for _, key in ipairs({cache_key, leader_record, leader_result}) do
      if redis.call('PTTL', key) < tonumber(answer_ttl) then
        redis.call('PEXPIRE', key, answer_ttl)
      end
    end
    share(record)
    share(leader_record)
    extend_shared_result(leader_result)
    announce(events, webhooks, events_kept, job_id, 'completed', now, callback, {'summary', summary or nil}, 1)
    return 'answered'
  end
end
redis.call('SET', cache_key, job_id, 'PX', running_ttl)
redis.call('HSET', record, 'cache_key', cache_key)
return 'leads'
