-- Publishes before the message is done, if the consumer owns its entry and the run goes on.
-- KEYS: stream of the entry, record (the stream when there is none), then the stream of each message
-- ARGV: group, consumer, entry id, run, number of fields and values for the record, then these, then the messages
-- Returns 1, 0 when another consumer owns the entry, 3 when the run is over.
local stream, record = unpack(KEYS, 1, 2)
local group, consumer, id, run, count = unpack(ARGV, 1, 5)
if not owns(stream, group, consumer, id) then
  return 0
end
for i = 3, #KEYS do
  redis.call('XLEN', KEYS[i])
end
if record ~= stream and not goes_on(record, run) then
  return 3
end
local at = 6 + tonumber(count)
if at > 6 then
  redis.call('HSET', record, unpack(ARGV, 6, at - 1))
end
for i = 3, #KEYS do
  at = append(KEYS[i], at)
end
return 1
