-- Ends a job, once: a later call changes nothing.
-- KEYS: record, active jobs, events stream, webhooks stream, cache key (the record when there is none), record of the
--       job that answers for this one (its own when none does), stream of the library stage, then the further keys of the
--       job, its result first and its callbacks last, then those of the one that answers for it
-- ARGV: job id, the job that answers for it, status, time to live (ms) of record and result, time to live (ms) of the
--       cache key (0: delete it), events to keep, number of keys after the result that are kept as long as the record, so
--       that frames can be replayed (0: all are deleted), run (empty: any), field and
--       bytes of the message to the library stage (empty: none), then fields and values of the record
-- Returns when this call ended the job (Unix seconds, as text), 0 when its run was over or it does not exist, -1 when
-- another job answers for it by now.
-- Cancelling a job that answers for others does not stop it: it is withdrawn, and the work goes on for the others. The
-- end of every job is announced once.
local record, active, events, webhooks, cache_key, leader, library, result = unpack(KEYS, 1, 8)
local job_id, leader_id, status, ttl, cache_ttl, events_kept, replayed, run, field, message = unpack(ARGV, 1, 10)
local first, own, now = 11, (#KEYS - 7) / 2, server_time()
local callbacks, leader_callbacks = KEYS[7 + own], KEYS[#KEYS]
local old_status, ended, withdrawn, alias, alias_run =
  unpack(redis.call('HMGET', record, 'status', 'ended', 'withdrawn', 'alias', 'alias_run'))
if not old_status or ended then
  redis.call('ZREM', active, job_id)
  return 0
end
if not goes_on(record, run) or (status == 'cancelled' and withdrawn) then
  return 0
end
if (alias or job_id) ~= leader_id then
  return -1
end
if alias and (status ~= 'cancelled' or not goes_on(leader, alias_run or '')) then
  return 0 -- the end of the one that answers for it is its own
end
redis.call('XLEN', events) -- keys of another type fail here, before anything is written
redis.call('XLEN', webhooks)
redis.call('XLEN', library)
local followers = {}
for _, field in ipairs(redis.call('HKEYS', record)) do
  if string.sub(field, 1, 9) == 'follower:' then
    followers[#followers + 1] = string.sub(field, 10)
  end
end
local function announce_end(job)
  announce(events, webhooks, events_kept, job, status, now, redis.call('HGET', callbacks, job), ARGV, first)
end
if status == 'cancelled' and #followers > 0 then
  redis.call('HSET', record, 'withdrawn', now)
  share(record)
  announce_end(job_id)
  return now
end
if alias then
  redis.call('HDEL', record, 'alias')
  redis.call('HDEL', leader, 'follower:' .. job_id)
  redis.call('HDEL', leader_callbacks, job_id)
  abandon(leader, active, leader_id, now, 8 + own, #KEYS)
end
redis.call('HSET', record, 'status', status, 'ended', now, unpack(ARGV, first))
local kept = status == 'completed' and redis.call('HEXISTS', record, 'kept') == 1
redis.call('PEXPIRE', record, kept and KEPT_TTL or ttl)
if status == 'completed' then
  redis.call('PEXPIRE', result, kept and KEPT_TTL or ttl)
  if not withdrawn then
    share_result(record, result)
  end
else
  redis.call('UNLINK', result)
  unshare(record)
end
share(record)
redis.call('PEXPIRE', callbacks, kept and KEPT_TTL or ttl)
redis.call('ZREM', active, job_id)
if cache_key ~= record and redis.call('GET', cache_key) == job_id then
  if cache_ttl == '0' then
    redis.call('DEL', cache_key)
  else
    redis.call('PEXPIRE', cache_key, cache_ttl)
  end
end
for i = 9, 6 + own do
  if replayed == '0' then
    redis.call('UNLINK', KEYS[i])
  elseif i < 9 + replayed then
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end
if message ~= '' then
  redis.call('XADD', library, '*', field, message)
end
if not withdrawn then
  announce_end(job_id)
end
for _, follower in ipairs(followers) do
  announce_end(follower)
  redis.call('HDEL', record, 'follower:' .. follower)
  redis.call('HSET', record, 'answered:' .. follower, '')
  share(string.match(record, '^.-:job:') .. follower .. ':metadata')
end
return now
