-- Gives a frame of a job the faces that were seen in the same picture before, with their crops, while its run goes on.
-- KEYS: record, observations of the source, faces, portraits and outcomes of the job
-- ARGV: run, time to live (ms) of faces and portraits, frame, its encoded faces, picture, number of faces, outcome ('': it is
--       recorded otherwise)
-- Returns 1, 0 when the run is over, -1 when the crops are no longer kept.
local record, kept, faces, portraits, outcomes = unpack(KEYS)
local run, ttl, frame, encoded, picture, count, outcome = unpack(ARGV)
if not goes_on(record, run) then
  return 0
end
local crops = {}
for position = 0, count - 1 do
  local crop = redis.call('HGET', kept, picture .. '/' .. position)
  if not crop then
    return -1
  end
  crops[position] = crop
end
redis.call('HSET', faces, frame, encoded)
redis.call('PEXPIRE', faces, ttl)
for position = 0, count - 1 do
  redis.call('HSET', portraits, frame .. '/' .. position, crops[position])
  redis.call('PEXPIRE', portraits, ttl)
end
if outcome ~= '' and redis.call('HSETNX', outcomes, frame, outcome) == 1 then
  redis.call('PEXPIRE', outcomes, math.max(1, redis.call('PTTL', record)))
end
return 1
