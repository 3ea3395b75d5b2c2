-- Publishes before the message is done, if the consumer owns its entry and the run goes on.
-- KEYS: stream of the entry, record (the stream when there is none), the hashes, then the stream of each message
-- ARGV: group, consumer, entry id, run, number of fields and values for the record, number of hashes, then these fields and
--       values, the hashes (write_hashes) and the messages
-- Returns 1, 0 when another consumer owns the entry, 3 when the run is over.
local stream, record = unpack(KEYS, 1, 2)
local group, consumer, id, run, count, hashes = unpack(ARGV, 1, 6)
local first = 3 + tonumber(hashes)
if not owns(stream, group, consumer, id) then
  return 0
end
for i = first, #KEYS do
  if KEYS[i] ~= KEYS[i - 1] then
    redis.call('XLEN', KEYS[i]) -- a key of another type fails here, before anything is written
  end
end
if record ~= stream and not goes_on(record, run) then
  return 3
end
local at = 7 + tonumber(count)
if at > 7 then
  redis.call('HSET', record, unpack(ARGV, 7, at - 1))
end
at = write_hashes(3, first - 1, at)
for i = first, #KEYS do
  at = append(KEYS[i], at)
end
return 1
