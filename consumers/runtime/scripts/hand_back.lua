-- Gives entries up so that others claim them at once, and the interrupted delivery does not count.
-- KEYS: 1 stream
-- ARGV: 1 group, 2 consumer, 3 consumer that stands for "nobody", 4 idle time (ms) that every lease is below,
--       5.. entry ids
-- Returns how many were given up.
local given = 0
for i = 5, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if pending then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'IDLE', ARGV[4],
      'RETRYCOUNT', math.max(0, pending[4] - 1), 'JUSTID')
    given = given + 1
  end
end
return given
