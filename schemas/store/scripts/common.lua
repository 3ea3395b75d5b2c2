-- Prepended to every script of every package.

-- Whether a run of a job goes on. A message of the version before names no run, and counts as of the present one.
local function goes_on(record, run)
  local current, ended = unpack(redis.call('HMGET', record, 'run', 'ended'))
  return not ended and (run == '' or run == current) and (current or redis.call('EXISTS', record) == 1)
end

-- Writes the hashes at KEYS[first] to KEYS[last]; returns the position behind them in ARGV. Each is, from ARGV[at] on, its
-- time to live (ms), whether it replaces what the hash holds (1 or 0), the number of its fields and values, the number of
-- fields that it loses, then these. What is lost comes last: a server whose memory is full refuses the write before it.
local function write_hashes(first, last, at)
  local VALUES_PER_COMMAND = 1000 -- unpack has a limit
  for i = first, last do
    local ttl, replaces, values, removed = unpack(ARGV, at, at + 3)
    local start, stop = at + 4, at + 3 + tonumber(values)
    at = stop + 1 + tonumber(removed)
    if replaces == '1' then
      redis.call('UNLINK', KEYS[i])
    end
    for j = start, stop, VALUES_PER_COMMAND do
      redis.call('HSET', KEYS[i], unpack(ARGV, j, math.min(stop, j + VALUES_PER_COMMAND - 1)))
    end
    for j = stop + 1, at - 1 do
      redis.call('HDEL', KEYS[i], ARGV[j])
    end
    if values ~= '0' then
      redis.call('PEXPIRE', KEYS[i], ttl)
    end
  end
  return at
end

-- The key under which other programs know a key of this service (schemas.names); nil when it is not one. Shared keys are
-- no keys of the calls: they lie in the same slot, and some belong to jobs that only the record names. Other programs
-- write and delete them, so nothing here depends on them.
local function shared(key)
  local brace = string.find(key, '}', 1, true) or 1
  local first, last = string.find(key, '-service:', brace, true)
  return first and string.sub(key, 1, first - 1) .. string.sub(key, last)
end

-- A Unix time as RFC 3339 text in UTC.
local function rfc3339(seconds)
  local milli = math.floor(tonumber(seconds) * 1000)
  local days, rest = math.floor(milli / 86400000), milli % 86400000
  -- the civil calendar, in years that begin on 1 March, eras of 400 years
  local day = days + 719468
  local era = math.floor(day / 146097)
  day = day - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00', year, month, day, math.floor(rest / 3600000),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- Fields of a record, false for a missing one, and the number of its outcomes.
local function read_state(base, job_id)
  local names = {'created', 'video_path', 'source_id', 'status', 'started', 'ended', 'error', 'summary', 'alias',
    'alias_run', 'run', 'withdrawn', 'deleted', 'expected', 'sampled', 'units'}
  local values, state = redis.call('HMGET', base .. job_id .. ':metadata', unpack(names)), {}
  for i, name in ipairs(names) do
    state[name] = values[i]
  end
  state.done = redis.call('HLEN', base .. job_id .. ':outcomes')
  return state
end

-- Stage and progress, as schemas.store.job_reader computes them.
local function progress_of(state)
  local status, expected = state.status or 'queued', tonumber(state.units or state.expected or state.sampled or 0)
  if status == 'completed' or status == 'failed' or status == 'cancelled' then
    return status, status == 'completed' and 1 or 0
  end
  if not state.started then
    return 'queued', 0
  end
  expected = expected > 0 and math.max(expected, state.sampled or 0, state.done) or 0
  local progress = expected > 0 and 0.95 * math.min(1, state.done / expected) or 0
  return not state.units and 'frames' or state.done < expected and 'analyze' or 'finalize', progress
end

-- Copies the state of a job to the key that other programs read, as JSON, for as long as its record lives. A user of the
-- server that may not write there does without: the sweep of the deadlines copies the state within seconds.
local function share(record)
  local base, job_id = string.match(record, '^(.-:job:)(.*):metadata$')
  local copy, ttl = shared(record), redis.call('PTTL', record)
  if not base or not copy or ttl <= 0 then
    return
  end
  local own = read_state(base, job_id)
  local state = own.alias and read_state(base, own.alias) or own
  local other_run = own.alias and own.alias_run and own.alias_run ~= (state.run or '')
  if own.deleted or not own.created or not state.created or other_run then
    redis.pcall('UNLINK', copy)
    return
  end
  if own.alias then
    ttl = math.min(ttl, math.max(1, redis.call('PTTL', base .. own.alias .. ':metadata')))
  end
  if own.withdrawn then
    state.status, state.error, state.summary = 'cancelled', 'The job was cancelled.', false
  end
  local stage, progress = progress_of(state)
  local text = cjson.encode({
    job_id = job_id,
    source = own.video_path or nil,
    source_id = own.source_id or nil,
    status = state.status or 'queued',
    stage = stage,
    progress = progress,
    created_at = rfc3339(own.created),
    started_at = state.started and rfc3339(math.max(state.started, own.created)) or nil,
    completed_at = state.ended and rfc3339(math.max(state.ended, own.created)) or nil,
    error = state.error or nil,
  })
  if state.summary then -- JSON already
    text = string.sub(text, 1, -2) .. ',"result_summary":' .. state.summary .. '}'
  end
  redis.pcall('SET', copy, text, 'PX', ttl)
end
