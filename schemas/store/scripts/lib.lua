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
