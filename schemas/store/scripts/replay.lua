-- Republishes a dead letter's message and deletes the outcome of its unit.
-- KEYS: dead letters, stream, then, when the letter has a unit, record, outcomes
-- ARGV: letter id, unit, run, then fields and values of the message
-- Returns 1 sent, 0 there is no such letter, -1 the run of the unit is over.
local dead, stream, record, outcomes = unpack(KEYS)
local letter_id, unit, run = unpack(ARGV, 1, 3)
if #redis.call('XRANGE', dead, letter_id, letter_id) == 0 then
  return 0
end
redis.call('XLEN', stream)
if record then
  redis.call('HLEN', outcomes)
  if not goes_on(record, run) then
    return -1
  end
  redis.call('HDEL', outcomes, unit)
  redis.call('HDEL', record, 'finalized')
end
redis.call('XADD', stream, '*', unpack(ARGV, 4))
redis.call('XDEL', dead, letter_id)
return 1
