-- Accepts a job: creates its record and sends it to the frames stage, or returns why not. A job that failed or was
-- cancelled before the same request was published runs again: nothing of its earlier run is left.
-- KEYS: stream of accepted jobs, record, active jobs, index of jobs, tombstone, events stream, webhooks stream, then the
--       further keys of the job, its result first and its callbacks last
-- ARGV: most jobs of the caller that may wait, most of all callers, caller, step and credit (fair_queue.lua), bytes of the
--       message (empty: it is not sent), encoded request, digest of an
--       invalid request (empty: it is valid), time to live of the record (ms), longest wait (ms), job id, when the request
--       was published (s, empty: now), run, events to keep, job that answers for this one and has
--       been settled (empty: none), callback (empty: none), then fields and values of the record
-- Returns {"accepted", created}, {"full", length}, {"same", created}, {"taken"}, {"kept"} when the job was deleted and
-- its result is kept for others, {"deleted"} when the job was deleted after the request was published, or {"settle", job}
-- when the jobs that this one answers for, or this one itself, first need an end of their own (settle.lua).
local accepted, record, active, index, tombstone, events, webhooks = unpack(KEYS, 1, 7)
local limit, limit_of_all, caller, step, credit, message = unpack(ARGV, 1, 6)
local request, refused, ttl, longest_wait, job_id, published = unpack(ARGV, 7, 12)
local run, events_kept, settled, callback = unpack(ARGV, 13, 16)
local first, now, callbacks = 17, server_time(), KEYS[#KEYS]
local known, current_run, current_refused, created, status, ended, alias, withdrawn, deleted, summary =
  unpack(redis.call('HMGET', record, 'request', 'run', 'refused', 'created', 'status', 'ended', 'alias', 'withdrawn',
    'deleted', 'summary'))
if known then
  if deleted then
    return {'kept'}
  end
  local current_callback = redis.call('HGET', callbacks, job_id) or ''
  if known ~= request or (current_refused or '') ~= refused or current_callback ~= callback then
    return {'taken'}
  end
  if alias and alias ~= settled then
    return {'settle', alias}
  end
  local over = withdrawn or ended
  if alias or not over or run == current_run or (published ~= '' and milliseconds(published) < milliseconds(over)) then
    return {'same', created}
  end
  if status == 'completed' or not ended then
    if withdrawn then -- the work went on for others
      redis.call('HDEL', record, 'withdrawn')
      share(record)
      share_result(record, KEYS[8])
      if ended then
        announce(events, webhooks, events_kept, job_id, status, now, callback, {'summary', summary or nil}, 1)
      end
    end
    return {'same', created}
  end
  if answers(record) then
    return {'settle', job_id}
  end
end
local tomb = published ~= '' and redis.call('GET', tombstone)
if tomb and tonumber(published) <= tonumber(tomb) then
  return {'deleted'}
end
local length, waiting = unread(accepted), waits(accepted)
local own = math.floor(backlog(accepted, caller, tonumber(credit)) / tonumber(step))
if length + math.min(own, waiting) >= tonumber(limit) or length + waiting >= tonumber(limit_of_all) then
  return {'full', length + waiting}
end
if message ~= '' then -- before UNLINK: after a first write, the server no longer refuses scripts for lack of memory
  send(accepted, caller, tonumber(step), tonumber(credit), message)
end
redis.call('UNLINK', record, unpack(KEYS, 8))
redis.call('HSET', record, 'request', request, 'created', now, 'run', run, unpack(ARGV, first))
if refused ~= '' then
  redis.call('HSET', record, 'refused', refused)
end
redis.call('PEXPIRE', record, ttl)
redis.call('DEL', tombstone)
if callback ~= '' then
  redis.call('HSET', callbacks, job_id, callback)
  redis.call('PEXPIRE', callbacks, ttl)
end
unshare(record)
share(record)
redis.call('ZADD', active, milliseconds(now) + longest_wait, job_id)
redis.call('ZADD', index, milliseconds(now), job_id)
return {'accepted', now}
