-- Replaces the result of a job, if it is still kept, with all its parts.
-- KEYS: result
-- ARGV: fields and values of the result
-- Returns 1, or 0 when there is no result.
local result = KEYS[1]
local parts = redis.call('HGET', result, 'parts')
if not parts then
  return 0
end
for number = 0, parts - 1 do
  redis.call('HDEL', result, 'part:' .. number)
end
redis.call('HSET', result, unpack(ARGV))
share_result((string.gsub(result, 'result$', 'metadata')), result)
return 1
