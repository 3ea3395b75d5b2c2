-- Moves messages that are due from the delay set back to their stream.
-- KEYS: delay set, stream
-- ARGV: field of the message's bytes, most messages to move
-- Returns how many were moved, and the milliseconds until the next is due (-1: there is none).
local delay_set, stream = unpack(KEYS)
local field, limit = unpack(ARGV)
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('XLEN', stream)
local due = redis.call('ZRANGEBYSCORE', delay_set, '-inf', now, 'LIMIT', 0, limit)
for _, message in ipairs(due) do
  local colon = string.find(message, ':', 1, true)
  local replays, bytes = string.sub(message, 1, colon - 1), string.sub(message, colon + 1)
  if replays == '0' then
    redis.call('XADD', stream, '*', field, bytes)
  else
    redis.call('XADD', stream, '*', field, bytes, 'replays', replays)
  end
  redis.call('ZREM', delay_set, message)
end
local following = redis.call('ZRANGE', delay_set, 0, 0, 'WITHSCORES')
if #following == 0 then
  return {#due, -1}
end
return {#due, math.max(0, tonumber(following[2]) - now)}
