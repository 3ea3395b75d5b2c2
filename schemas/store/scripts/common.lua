-- Prepended to every script of every package.

-- Whether a run of a job goes on. A message of the version before names no run, and counts as of the present one.
local function goes_on(record, run)
  local current, ended = unpack(redis.call('HMGET', record, 'run', 'ended'))
  return redis.call('EXISTS', record) == 1 and not ended and (run == '' or run == current)
end

