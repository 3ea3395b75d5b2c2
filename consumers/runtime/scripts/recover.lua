-- Claims entries whose lease has run out.
-- KEYS: 1 stream
-- ARGV: 1 group, 2 consumer, 3 lease (ms), 4 where to go on (- at first), 5 most entries to claim,
--       6 deliveries from which an entry is suspected of killing its worker, 7 most suspects to claim,
--       8 most entries to look at
-- Returns where to go on, the claimed entries (id, fields, deliveries), the ids that have no entry any more, and
-- the number of suspects that have to wait. XAUTOCLAIM would count a delivery for them too, and bury them in the
-- end beside the one that kills. Only what is claimed here counts as delivered.
local stream, group, consumer, lease = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local limit, suspicious, suspects = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local found = redis.call('XPENDING', stream, group, 'IDLE', lease, ARGV[4], '+', ARGV[8])
local claimed, gone, waiting, cursor = {}, {}, 0, '-'
for i, entry in ipairs(found) do
  local id, deliveries = entry[1], entry[4] + 1
  if #claimed == limit then
    cursor = '(' .. found[i - 1][1]
    break
  end
  if i == tonumber(ARGV[8]) then
    cursor = '(' .. id
  end
  if deliveries < suspicious or suspects > 0 then
    local message = redis.call('XCLAIM', stream, group, consumer, lease, id)[1]
    if message and message[2] then
      claimed[#claimed + 1] = {id, message[2], deliveries}
      suspects = deliveries < suspicious and suspects or suspects - 1
    else
      redis.call('XACK', stream, group, id) -- 6.2 leaves deleted entries pending
      gone[#gone + 1] = id
    end
  else
    waiting = waiting + 1
  end
end
return {cursor, claimed, gone, waiting}
