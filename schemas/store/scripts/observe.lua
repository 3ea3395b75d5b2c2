-- Keeps what was seen in pictures of a source, and renews its life, while the run of the job goes on.
-- KEYS: record (the observations when there is none), observations, jobs of the source, sources by their last use, sizes of
--       the sources, sources of the jobs
-- ARGV: run, source, job, time to live (ms), most bytes of all sources, then fields and values; without these, only the life
--       is renewed
-- Returns the sources to forget: those that have expired, the oldest ones beyond the limit, and what the job observed when
-- it ran before; never this one. A source
-- that would be larger than the limit does not grow.
local record, kept, jobs, ages, sizes, observed = unpack(KEYS)
local run, source, job, ttl, limit = unpack(ARGV, 1, 5)
local FIELD_BYTES, MAX_FORGOTTEN = 64, 16
if record ~= kept and not goes_on(record, run) then
  return {}
end
local is_there = redis.call('EXISTS', kept) == 1
if not is_there and #ARGV == 5 then
  return {}
end
local size, growth = tonumber(redis.call('HGET', sizes, source) or 0), 0
if not is_there then
  growth = -size -- it has expired
end
local fresh = 0
for i = 6, #ARGV, 2 do
  local old = redis.call('HSTRLEN', kept, ARGV[i])
  fresh = fresh + #ARGV[i + 1] - old + (old == 0 and #ARGV[i] + FIELD_BYTES or 0)
end
if size + growth + fresh <= tonumber(limit) then
  growth = growth + fresh
  for i = 6, #ARGV, 2 do
    redis.call('HSET', kept, ARGV[i], ARGV[i + 1])
  end
end
redis.call('HINCRBY', sizes, source, growth)
local excess = redis.call('HINCRBY', sizes, 'total', growth) - tonumber(limit)
local now = server_time()
redis.call('ZADD', ages, now, source)
redis.call('SADD', jobs, job)
local earlier = redis.call('HGET', observed, job)
redis.call('HSET', observed, job, source)
redis.call('PEXPIRE', kept, ttl)
for _, key in ipairs({jobs, ages, sizes, observed}) do
  redis.call('PEXPIRE', key, 2 * tonumber(ttl)) -- so that what has expired can be counted off
end
local forgotten = {}
if earlier and earlier ~= source then -- the job has run again on another content; no job is left to erase it with
  forgotten[1] = earlier
end
local oldest = redis.call('ZRANGE', ages, 0, MAX_FORGOTTEN - 1, 'WITHSCORES')
for i = 1, #oldest, 2 do
  local is_expired = tonumber(oldest[i + 1]) < tonumber(now) - tonumber(ttl) / 1000
  if oldest[i] ~= source and (is_expired or excess > 0) then
    forgotten[#forgotten + 1] = oldest[i]
    excess = excess - tonumber(redis.call('HGET', sizes, oldest[i]) or 0)
  end
end
return forgotten
