-- Puts delayed messages that are due back on their stream.
-- KEYS: 1 delayed messages, 2 stream
-- ARGV: 1 field of the message's bytes, 2 most messages to move
-- Returns how many were moved, and the milliseconds until the next is due (-1: there is none).
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('XLEN', KEYS[2])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, message in ipairs(due) do
  local colon = string.find(message, ':', 1, true)
  local replays, bytes = string.sub(message, 1, colon - 1), string.sub(message, colon + 1)
  if replays == '0' then
    redis.call('XADD', KEYS[2], '*', ARGV[1], bytes)
  else
    redis.call('XADD', KEYS[2], '*', ARGV[1], bytes, 'replays', replays)
  end
  redis.call('ZREM', KEYS[1], message)
end
local next = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #next == 0 then
  return {#due, -1}
end
return {#due, math.max(0, tonumber(next[2]) - now)}
