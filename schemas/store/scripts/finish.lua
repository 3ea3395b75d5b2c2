-- Ends a job, once: a later call changes nothing.
-- KEYS: record, active jobs, events stream, webhooks stream, record of the job that answers for this one (its own when
--       none does), result, cache key (the record when there is none), callbacks of the job and of the one that
--       answers for it, then keys that the running job needs
-- ARGV: job id, status, time to live (ms) of record and result, time to live (ms) of the cache key (0: delete it),
--       events to keep, whether frames may be replayed (1: the keys that the running job needs live as long as the
--       record), then fields and values of the record
-- Returns when this call ended the job (Unix seconds, as text), 0 when it had ended or does not exist.
-- Cancelling a job that answers for others, or is answered by another one, does not stop it: it is withdrawn, and the
-- work goes on for the others. The end of every job is announced once.
local record, active, events, webhooks, leader, result, cache_key, callbacks, leader_callbacks = unpack(KEYS, 1, 9)
local job_id, status, ttl, cache_ttl, events_kept, replayable = unpack(ARGV, 1, 6)
local now = server_time()
local old_status, ended, withdrawn, alias =
  unpack(redis.call('HMGET', record, 'status', 'ended', 'withdrawn', 'alias'))
if not old_status or ended or (status == 'cancelled' and withdrawn) then
  return 0
end
redis.call('XLEN', events) -- keys of another type fail here, before anything is written
redis.call('XLEN', webhooks)
local followers = {}
for _, field in ipairs(redis.call('HKEYS', record)) do
  if string.sub(field, 1, 9) == 'follower:' then
    followers[#followers + 1] = string.sub(field, 10)
  end
end
local function announce_end(job)
  announce(events, webhooks, events_kept, job, status, now, redis.call('HGET', callbacks, job), ARGV, 7)
end
if status == 'cancelled' and (alias or #followers > 0) then
  redis.call('HSET', record, 'withdrawn', now)
  redis.call('HDEL', leader, 'follower:' .. job_id)
  announce_end(job_id)
  if alias then
    redis.call('HDEL', leader_callbacks, job_id)
  end
  return now
end
redis.call('HSET', record, 'status', status, 'ended', now, unpack(ARGV, 7))
redis.call('PEXPIRE', record, ttl)
redis.call('PEXPIRE', result, ttl)
redis.call('PEXPIRE', callbacks, ttl)
redis.call('ZREM', active, job_id)
if cache_key ~= record and redis.call('GET', cache_key) == job_id then
  if cache_ttl == '0' then
    redis.call('DEL', cache_key)
  else
    redis.call('PEXPIRE', cache_key, cache_ttl)
  end
end
for i = 10, #KEYS do
  if replayable == '1' then
    redis.call('PEXPIRE', KEYS[i], ttl)
  else
    redis.call('UNLINK', KEYS[i])
  end
end
if not withdrawn then
  announce_end(job_id)
end
for _, follower in ipairs(followers) do
  announce_end(follower)
end
return now
