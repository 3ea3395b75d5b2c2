-- Publishes before the message is done, if the consumer owns its entry.
-- KEYS: stream of the entry, record (the stream when there is none), then the stream of each message
-- ARGV: group, consumer, entry id, number of fields and values for the record, then these, then the messages
-- Returns 1, or 0 when another consumer owns the entry.
local stream, record = unpack(KEYS, 1, 2)
local group, consumer, id, count = unpack(ARGV, 1, 4)
if not owns(stream, group, consumer, id) then
  return 0
end
for i = 3, #KEYS do
  redis.call('XLEN', KEYS[i])
end
local at = 5 + tonumber(count)
if at > 5 and redis.call('HLEN', record) > 0 then
  redis.call('HSET', record, unpack(ARGV, 5, at - 1))
end
for i = 3, #KEYS do
  at = append(KEYS[i], at)
end
return 1
