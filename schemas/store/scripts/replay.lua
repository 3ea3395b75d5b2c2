-- Republishes a dead letter's message and deletes the outcome of its unit.
-- KEYS: dead letters, stream, then, when the letter has a unit, record, outcomes
-- ARGV: letter id, unit, then fields and values of the message
-- Returns 1 sent, 0 there is no such letter, -1 the job of the unit has ended or no longer exists.
local dead, stream, record, outcomes = unpack(KEYS)
local letter_id, unit = unpack(ARGV, 1, 2)
if #redis.call('XRANGE', dead, letter_id, letter_id) == 0 then
  return 0
end
redis.call('XLEN', stream)
if record then
  redis.call('HLEN', outcomes)
  if redis.call('EXISTS', record) == 0 or redis.call('HEXISTS', record, 'ended') == 1 then
    return -1
  end
  redis.call('HDEL', outcomes, unit)
  redis.call('HDEL', record, 'finalized')
end
redis.call('XADD', stream, '*', unpack(ARGV, 3))
redis.call('XDEL', dead, letter_id)
return 1
