-- Prepended to every script: functions that several of them call.
-- A message in ARGV is the number of its fields and values; caller, step and credit in the fair queue of the stream (step
-- '': it does not wait there); then field, value, field, value, ...

-- Whether the consumer still owns the entry; an acknowledgement alone does not check that.
local function owns(stream, group, consumer, id)
  return #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 1
end

-- The position of the message behind the one at ARGV[at].
local function following(at)
  return at + 4 + tonumber(ARGV[at])
end

-- Adds the message at ARGV[at] to a stream, or to the fair queue in front of it; returns the position of the next message.
local function append(stream, at)
  local caller, step, credit = unpack(ARGV, at + 1, at + 3)
  if step == '' then
    redis.call('XADD', stream, '*', unpack(ARGV, at + 4, following(at) - 1))
    counts[stream] = nil
  else
    send(stream, caller, tonumber(step), tonumber(credit), ARGV[at + 5])
  end
  return following(at)
end

local function acknowledge(stream, group, id)
  redis.call('XACK', stream, group, id)
  redis.call('XDEL', stream, id)
end

-- Fan-in: when all units of a record have an outcome, adds the message at ARGV[at], once.
local function check_fan_in(record, outcomes, stream, at)
  local units = tonumber(redis.call('HGET', record, 'units'))
  if units and redis.call('HLEN', outcomes) >= units and redis.call('HSETNX', record, 'finalized', '1') == 1 then
    append(stream, at)
    return 1
  end
  return 0
end
