-- Removes jobs whose records have expired from the index.
-- KEYS: index of jobs, then the record of each job
-- ARGV: job ids
-- Returns how many were removed.
local removed = 0
for i, job_id in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[i + 1]) == 0 then
    removed = removed + redis.call('ZREM', KEYS[1], job_id)
  end
end
return removed
