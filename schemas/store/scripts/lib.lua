-- Prepended to every script: functions that several of them call.

-- Unix seconds by the clock of the server, as text with microseconds. The clocks of hosts may be wrong.
local function server_time()
  return string.format('%d.%06d', unpack(redis.call('TIME')))
end

local function milliseconds(seconds)
  return math.floor(tonumber(seconds) * 1000)
end

-- Time to live (ms) of a job that is kept until it is deleted: a hundred years. A time, since scripts compare times to live.
local KEPT_TTL = '3153600000000'

-- Copies the result of a job to the keys that other programs read, as the JSON that the API answers with, unless it is
-- larger than they can be expected to read at once.
local MAX_SHARED_BYTES = 8388608
local function share_result(record, result)
  local copy, ttl = shared(result), redis.call('PTTL', result)
  local parts, bytes = tonumber(redis.call('HGET', result, 'parts') or 0), 0
  if not copy or ttl <= 0 then
    return
  end
  redis.call('UNLINK', copy, copy .. 's')
  for number = 0, parts - 1 do
    bytes = bytes + redis.call('HSTRLEN', result, 'part:' .. number)
  end
  if bytes == 0 or bytes > MAX_SHARED_BYTES then
    return
  end
  local job_id, source_id = string.match(record, ':job:(.*):metadata$'), redis.call('HGET', record, 'source_id')
  local body = {'{"job_id":' .. cjson.encode(job_id) .. ',"source_id":' .. cjson.encode(source_id or cjson.null) .. ','}
  for number = 0, parts - 1 do
    local part = redis.call('HGET', result, 'part:' .. number)
    body[#body + 1] = number == 0 and string.sub(part, 2) or part
  end
  body = table.concat(body)
  redis.call('SET', copy, body, 'PX', ttl)
  redis.call('SET', copy .. 's', body, 'PX', ttl)
end

-- Lets the copies of a result live as long as the result.
local function extend_shared_result(result)
  local copy, ttl = shared(result), redis.call('PTTL', result)
  if copy and ttl > 0 then
    redis.call('PEXPIRE', copy, ttl)
    redis.call('PEXPIRE', copy .. 's', ttl)
  end
end

-- Deletes what other programs read of a job.
local function unshare(record)
  local copy = shared(record)
  if copy then
    local base = string.gsub(copy, 'metadata$', '')
    redis.call('UNLINK', copy, base .. 'result', base .. 'results')
  end
end

-- Announces the end of a job: an entry of the events stream and of its shared copy, and a message to the webhooks stage if the job has a
-- callback, which carries its error and summary. `fields`: names and values of the record from position `first` on.
local function announce(events, webhooks, events_kept, job, status, now, callback, fields, first)
  redis.call('XADD', events, 'MAXLEN', '~', events_kept, '*', 'job_id', job, 'status', status)
  local copy = shared(events)
  if copy then -- another program may have written something else there
    redis.pcall('XADD', copy, 'MAXLEN', '~', events_kept, '*', 'job_id', job, 'status', status)
  end
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

-- Lets a job that was kept, and then cancelled or deleted, live only as long as the jobs that it answers for.
local function shorten(record, result, callbacks)
  local kept, deleted, withdrawn = unpack(redis.call('HMGET', record, 'kept', 'deleted', 'withdrawn'))
  if not kept or not (deleted or withdrawn) then
    return
  end
  local base, longest = string.match(record, '^.-:job:'), 0
  for _, field in ipairs(redis.call('HKEYS', record)) do
    local other = string.match(field, '^follower:(.*)') or string.match(field, '^answered:(.*)')
    if other then
      longest = math.max(longest, redis.call('PTTL', base .. other .. ':metadata'))
    end
  end
  for _, key in ipairs({record, result, callbacks}) do
    redis.call('PEXPIRE', key, longest)
  end
  if longest == 0 then
    unshare(record)
  end
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
    unshare(record)
    return
  end
  redis.call('HDEL', record, 'withdrawn', 'summary')
  redis.call('HSET', record, 'status', 'cancelled', 'error', 'The job was cancelled.', 'ended', ended or now)
  unshare(record)
  share(record)
end
