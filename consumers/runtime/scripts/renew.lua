-- Renews the lease on entries that the consumer still owns; a blind XCLAIM would take back entries of others.
-- KEYS: stream
-- ARGV: group, consumer, then entry ids
-- Returns the ids that it no longer owns.
local stream = KEYS[1]
local group, consumer = unpack(ARGV, 1, 2)
local lost = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if owns(stream, group, consumer, id) then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID') -- JUSTID: no delivery is counted
  else
    lost[#lost + 1] = id
  end
end
return lost
