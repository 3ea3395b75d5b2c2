-- Renews the lease on entries that the consumer still owns; a blind XCLAIM would take back what others work on.
-- KEYS: 1 stream
-- ARGV: 1 group, 2 consumer, 3.. entry ids
-- Returns the ids that it no longer owns.
local lost = {}
for i = 3, #ARGV do
  if owns(KEYS[1], ARGV[1], ARGV[2], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', 0, 'JUSTID') -- JUSTID: does not count
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
