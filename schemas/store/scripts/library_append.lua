-- Appends entries to the log of a library, changes its view accordingly and takes the correction that they come from off
-- the inbox. All or nothing; only the worker that knows the whole log may append.
-- KEYS: names of the libraries, then all keys of the library (schemas.names.LibraryKeys), then the webhooks stream
-- ARGV: library, id of the last entry the worker knows (empty: none), id of the correction in the inbox (empty: none),
--       number of entries, field of messages; id, kind, content of each and the message to the webhooks stage (empty:
--       none); then the changes of the view: number of the key, command, and
--       the two arguments of the command (the second is empty for commands with one)
-- Returns 1, or 0 when the log has other entries: nothing is written.
local library, known, waiting, count, field = unpack(ARGV, 1, 5)
local state, log, entries, inbox = unpack(KEYS, 2, 5)
local webhooks = KEYS[#KEYS]
redis.call('XLEN', webhooks) -- a key of another type fails here, before anything is written
if (redis.call('HGET', state, 'last') or '') ~= known then
  return 0
end
if waiting ~= '' and redis.call('XDEL', inbox, waiting) == 0 then
  return 0
end
redis.call('SADD', KEYS[1], library)
redis.call('HSETNX', state, 'created', server_time())
local at = 6
for _ = 1, tonumber(count) do
  local id, kind, content, message = unpack(ARGV, at, at + 3)
  redis.call('XADD', log, id, 'kind', kind)
  redis.call('HSET', entries, id, content)
  redis.call('HSET', state, 'last', id)
  if message ~= '' then
    redis.call('XADD', webhooks, '*', field, message)
  end
  at = at + 4
end
for i = at, #ARGV, 4 do
  local key, command, one, other = KEYS[1 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if command == 'HSET' or command == 'ZADD' then
    redis.call(command, key, one, other)
  else
    redis.call(command, key, one)
  end
end
return 1
