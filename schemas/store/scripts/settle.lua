-- Gives jobs that another one answered the end of that job as their own, when it failed, so that either can run again. A
-- job whose end has expired with that job is deleted.
-- KEYS: record of the job that answered, active jobs, its further keys (its callbacks last), then the record of each of the others
-- ARGV: the job that answered, number of its further keys, then the id of each of the others
-- Returns nothing.
local leader, active = unpack(KEYS, 1, 2)
local leader_id, own = unpack(ARGV, 1, 2)
local status, ended, failure, run = unpack(redis.call('HMGET', leader, 'status', 'ended', 'error', 'run'))
local ttl = redis.call('PTTL', leader)
for i = 3, #ARGV do
  local job_id, record = ARGV[i], KEYS[own + i]
  local alias, alias_run = unpack(redis.call('HMGET', record, 'alias', 'alias_run'))
  if alias == leader_id then
    if not status or (alias_run or run) ~= run then
      redis.call('UNLINK', record)
      unshare(record)
    elseif ended and status ~= 'completed' then
      redis.call('HSET', record, 'status', status, 'ended', ended, 'error', failure or '')
      redis.call('HDEL', record, 'alias')
      redis.call('PEXPIRE', record, ttl)
      share(record)
    end
  end
  if ended and status ~= 'completed' then
    redis.call('HDEL', KEYS[2 + own], job_id)
    redis.call('HDEL', leader, 'follower:' .. job_id, 'answered:' .. job_id)
  end
end
abandon(leader, active, leader_id, server_time(), 3, 2 + own)
