-- Put in front of every script: what several of them do.

-- Tells the end of a job: an entry of the events, and a message to the webhooks stage where the job has a callback.
-- `fields` are names and values of the record from number `first` on; its error and summary are told too.
local function announce(events, webhooks, keep, job, status, now, callback, fields, first)
  redis.call('XADD', events, 'MAXLEN', '~', keep, '*', 'job_id', job, 'status', status)
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
  redis.call('XADD', webhooks, '*', 'json', cjson.encode(
    {id = id, job = job, type = 'webhook', created = tonumber(now), body = body}))
end
