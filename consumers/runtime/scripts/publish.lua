-- Publishes in the middle of work, for the owner of an entry only.
-- KEYS: 1 stream of the entry, 2 record (the stream again when there is none), 3.. stream of each message
-- ARGV: 1 group, 2 consumer, 3 entry id, 4 number of fields and values for the record, then these, then messages
-- Returns 1, or 0 when another consumer owns the entry.
if not owns(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return 0
end
local fields = tonumber(ARGV[4])
for i = 3, #KEYS do
  redis.call('XLEN', KEYS[i])
end
if fields > 0 and redis.call('HLEN', KEYS[2]) > 0 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 5, 4 + fields))
end
local at = 5 + fields
for i = 3, #KEYS do
  at = append(KEYS[i], at)
end
return 1
