-- Claims pending entries whose lease has expired.
-- KEYS: stream
-- ARGV: group, consumer, lease (ms), cursor (- at first), most entries to claim, delivery count from which an
--       entry is suspected of crashing its worker, most suspects to claim, most entries to scan
-- Returns the next cursor, the claimed entries (id, fields, deliveries), the ids whose entries no longer exist, and the
-- number of suspects not claimed. XAUTOCLAIM would count a delivery for those too, so that they became dead letters
-- beside the one that crashes workers. Here only claimed entries count as delivered.
local stream = KEYS[1]
local group, consumer, lease, start, max_claimed, suspect_deliveries, max_suspects, max_scanned = unpack(ARGV)
local limit, threshold, suspects = tonumber(max_claimed), tonumber(suspect_deliveries), tonumber(max_suspects)
local found = redis.call('XPENDING', stream, group, 'IDLE', lease, start, '+', max_scanned)
local claimed, missing, skipped, cursor = {}, {}, 0, '-'
for i, entry in ipairs(found) do
  local id, deliveries = entry[1], entry[4] + 1
  if #claimed == limit then
    cursor = '(' .. found[i - 1][1]
    break
  end
  if i == tonumber(max_scanned) then
    cursor = '(' .. id
  end
  if deliveries < threshold or suspects > 0 then
    local message = redis.call('XCLAIM', stream, group, consumer, lease, id)[1]
    if message and message[2] then
      claimed[#claimed + 1] = {id, message[2], deliveries}
      suspects = deliveries < threshold and suspects or suspects - 1
    else
      redis.call('XACK', stream, group, id) -- 6.2 leaves deleted entries pending
      missing[#missing + 1] = id
    end
  else
    skipped = skipped + 1
  end
end
return {cursor, claimed, missing, skipped}
