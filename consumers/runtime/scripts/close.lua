-- The tail of a fan-in, for a sweeper that finds a record whose last unit is done and nothing followed.
-- KEYS: 1 record, 2 outcomes, 3 stream of what follows
-- ARGV: the message that follows
-- Returns 1 when it was sent now, else 0.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'ended') == 1 then
  return 0
end
redis.call('XLEN', KEYS[3])
return close(KEYS[1], KEYS[2], KEYS[3], 1)
