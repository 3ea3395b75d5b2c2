-- Completes a message: the outcome of its unit, the messages it publishes, the fan-in, the acknowledgement. All or
-- nothing.
-- KEYS: stream; with a fan-in record, outcomes, stream of the final message; then the stream of each message
-- ARGV: group, consumer, entry id, is there a fan-in (1 or 0), unit ('' for none), its outcome, number of units ('' when
--       not known), stream of the dead letter ('' for none; it is the first message, and sent even when the unit has
--       an outcome or the run is over), part that the number of units belongs to ('' for all), number of parts, run; then
--       the messages,
--       the final message of the fan-in last
-- The stream of dead letters, in the same slot, is no key: keys of a script must be readable, and workers shall not read
-- the letters of others.
-- Returns 0 lost (another consumer owns the entry), 1 done, 2 the unit had an outcome, or the part its number of
-- units, 3 the run is over.

-- The units of all parts together; '' while the number of a part is missing.
local function total(record, parts)
  local sum = 0
  for part = 0, parts - 1 do
    local units = redis.call('HGET', record, 'part:' .. part)
    if not units then
      return ''
    end
    sum = sum + tonumber(units)
  end
  return sum
end

local stream, record, outcomes, final_stream = unpack(KEYS, 1, 4)
local group, consumer, id, has_fan_in, unit, outcome, units, letters, part, parts, run = unpack(ARGV, 1, 11)
if not owns(stream, group, consumer, id) then
  return 0
end
local fan_in = has_fan_in == '1'
local first, result = fan_in and 5 or 2, 1
if letters ~= '' then
  redis.call('XLEN', letters)
end
for i = first, #KEYS do
  redis.call('XLEN', KEYS[i]) -- a key of another type fails here, before anything is written
end
if fan_in then
  redis.call('HLEN', outcomes)
  redis.call('XLEN', final_stream)
  if not goes_on(record, run) then
    result = 3
  elseif unit ~= '' and redis.call('HSETNX', outcomes, unit, outcome) == 0 then
    result = 2
  elseif part ~= '' and redis.call('HSETNX', record, 'part:' .. part, units) == 0 then
    result = 2
  end
end
local at = 12
if letters ~= '' then
  at = append(letters, at)
end
for i = first, #KEYS do
  if result == 1 then
    at = append(KEYS[i], at)
  else
    at = following(at)
  end
end
if fan_in and result ~= 3 then
  if redis.call('HLEN', outcomes) == 1 then -- the outcomes live as long as the record
    local ttl = redis.call('PTTL', record)
    if ttl > 0 then
      redis.call('PEXPIRE', outcomes, ttl)
    end
  end
  if part ~= '' then
    units = total(record, tonumber(parts))
  end
  if units ~= '' then
    redis.call('HSETNX', record, 'units', units)
  end
  check_fan_in(record, outcomes, final_stream, at)
end
acknowledge(stream, group, id)
return result
