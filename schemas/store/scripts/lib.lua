-- Prepended to every script: functions that several of them call.

-- Unix seconds by the clock of the server, as text with microseconds. The clocks of hosts may be wrong.
local function server_time()
  return string.format('%d.%06d', unpack(redis.call('TIME')))
end

local function milliseconds(seconds)
  return math.floor(tonumber(seconds) * 1000)
end

-- Announces the end of a job: an entry of the events stream, and a message to the webhooks stage if the job has a
-- callback, which carries its error and summary. `fields`: names and values of the record from position `first` on.
local function announce(events, webhooks, events_kept, job, status, now, callback, fields, first)
  redis.call('XADD', events, 'MAXLEN', '~', events_kept, '*', 'job_id', job, 'status', status)
  if not callback or callback == '' then
    return
  end
  local body = {to = callback, status = status, ended = tonumber(now)}
  for i = first, #fields, 2 do
    if fields[i] == 'error' or fields[i] == 'summary' then
      body[fields[i]] = fields[i + 1]
    end
  end
  local id = job .. '/webhook/' .. now
  redis.call('XADD', webhooks, '*', 'json', cjson.encode({id = id, job = job, type = 'webhook', body = body}))
end

-- Whether a job answers for others, or has answered them.
local function answers(record)
  for _, field in ipairs(redis.call('HKEYS', record)) do
    local kind = string.sub(field, 1, 9)
    if kind == 'follower:' or kind == 'answered:' then
      return true
    end
  end
  return false
end

-- Stops a job that was cancelled or deleted and went on for others, once none of them is left, and deletes what is stored
-- of it. `first`, `last`: positions in KEYS of its further keys, its callbacks last.
local function abandon(record, active, job_id, now, first, last)
  local deleted, withdrawn, ended = unpack(redis.call('HMGET', record, 'deleted', 'withdrawn', 'ended'))
  if not (deleted or withdrawn) or answers(record) then
    return
  end
  redis.call('ZREM', active, job_id)
  redis.call('UNLINK', unpack(KEYS, first, last - 1))
  if deleted then
    redis.call('UNLINK', record, KEYS[last])
    return
  end
  redis.call('HDEL', record, 'withdrawn', 'summary')
  redis.call('HSET', record, 'status', 'cancelled', 'error', 'The job was cancelled.', 'ended', ended or now)
end
