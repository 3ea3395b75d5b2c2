-- Replaces the result of a job, if it is still kept, and leaves nothing of the one before.
-- KEYS: 1 result
-- ARGV: field, value of the result
-- Returns 1, or 0 when there is none any more.
local parts = redis.call('HGET', KEYS[1], 'parts')
if not parts then
  return 0
end
for number = 0, parts - 1 do
  redis.call('HDEL', KEYS[1], 'part:' .. number)
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
