-- Stores the faces of a frame, and their crops, while the job runs.
-- KEYS: record, faces, portraits
-- ARGV: time to live (ms), field and value of the faces, then fields and values of the crops
-- Returns 1, or 0 when the job has ended or was deleted.
local record, faces, portraits = unpack(KEYS)
local ttl, field, value = unpack(ARGV, 1, 3)
if redis.call('EXISTS', record) == 0 or redis.call('HEXISTS', record, 'ended') == 1 then
  return 0
end
redis.call('HSET', faces, field, value)
redis.call('PEXPIRE', faces, ttl)
for i = 4, #ARGV, 2 do
  redis.call('HSET', portraits, ARGV[i], ARGV[i + 1])
end
if #ARGV > 3 then
  redis.call('PEXPIRE', portraits, ttl)
end
return 1
