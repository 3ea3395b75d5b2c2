-- Claims pending entries whose lease has expired.
-- KEYS: stream, state of the scan (hash: when the present pass began, and the cursor)
-- ARGV: group, consumer, lease (ms), cursor (- at first), most entries to claim, delivery count from which an
--       entry is suspected of crashing its worker, most suspects to claim, most entries to scan
-- Returns the next cursor, the claimed entries (id, fields, deliveries), the ids whose entries no longer exist, and the
-- number of suspects not claimed. XAUTOCLAIM would count a delivery for those too, so that they became dead letters
-- beside the one that crashes workers. Here only claimed entries count as delivered.
-- XPENDING with IDLE would look at all pending entries until enough have expired, and hold the server for as long. So
-- the idle times are compared here. Where more entries are pending than one call scans, all workers share one pass, which
-- begins three times a lease; else a fleet of N workers would scan N times as much.
local stream, scan = unpack(KEYS)
local group, consumer, lease, start, max_claimed, suspect_deliveries, max_suspects, max_scanned = unpack(ARGV)
local limit, threshold, suspects = tonumber(max_claimed), tonumber(suspect_deliveries), tonumber(max_suspects)
lease, max_scanned = tonumber(lease), tonumber(max_scanned)
local shares_pass = pending(stream) > max_scanned
if shares_pass then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local began, reached = unpack(redis.call('HMGET', scan, 'began', 'cursor'))
  if not began or (reached == '-' and now - began >= lease / 3) then
    redis.call('HSET', scan, 'began', now)
    start = '-'
  elseif reached == '-' then
    return {'-', {}, {}, 0}
  else
    start = reached
  end
end
local found = redis.call('XPENDING', stream, group, start, '+', max_scanned)
local claimed, missing, skipped, cursor = {}, {}, 0, '-'
for i, entry in ipairs(found) do
  local id, idle, deliveries = entry[1], entry[3], entry[4] + 1
  if #claimed == limit then
    cursor = '(' .. found[i - 1][1]
    break
  end
  if i == max_scanned then
    cursor = '(' .. id
  end
  if idle < lease then -- its owner may live
  elseif deliveries < threshold or suspects > 0 then
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
if shares_pass then
  redis.call('HSET', scan, 'cursor', cursor)
  redis.call('PEXPIRE', scan, lease)
end
return {cursor, claimed, missing, skipped}
