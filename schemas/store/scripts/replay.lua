-- Sends a dead message again and reopens its unit.
-- KEYS: 1 dead letters, 2 stream, then, when the letter has a unit, 3 record, 4 outcomes
-- ARGV: 1 letter id, 2 unit, 3.. field, value of the message
-- Returns 1 sent, 0 there is no such letter, -1 the record has ended or is gone: nobody waits for the unit.
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
  return 0
end
redis.call('XLEN', KEYS[2])
if #KEYS == 4 then
  redis.call('HLEN', KEYS[4])
  if redis.call('EXISTS', KEYS[3]) == 0 or redis.call('HEXISTS', KEYS[3], 'ended') == 1 then
    return -1
  end
  redis.call('HDEL', KEYS[4], ARGV[2])
  redis.call('HDEL', KEYS[3], 'finalized')
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
