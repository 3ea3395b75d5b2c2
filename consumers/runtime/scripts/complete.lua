-- Ends a message: its unit's outcome, what follows, the fan-in, the acknowledgement. All of it, or nothing.
-- KEYS: 1 stream; with a fan-in 2 record, 3 outcomes, 4 stream of what follows the last unit; then the stream
--       of each message
-- ARGV: 1 group, 2 consumer, 3 entry id, 4 is there a fan-in (1 or 0), 5 unit ('' for none), 6 its outcome,
--       7 number of units ('' when not known), 8 number of letters: the first messages, that are sent even when
--       the unit has an outcome already or the record has ended; 9 part that the number of units is of ('' for all),
--       10 number of parts; then the messages, last that of the fan-in
-- Returns 0 lost (another consumer owns the entry), 1 done, 2 the unit had an outcome, or the part its number of
-- units, 3 the record has ended.

-- The units of all parts together; '' while there is a part that has not told its own.
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

local stream, group, consumer, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if not owns(stream, group, consumer, id) then
  return 0
end
local fan_in = ARGV[4] == '1'
local first, result = fan_in and 5 or 2, 1
for i = first, #KEYS do
  redis.call('XLEN', KEYS[i]) -- a key of another type fails here, before anything is written
end
if fan_in then
  redis.call('HLEN', KEYS[3])
  redis.call('XLEN', KEYS[4])
  if redis.call('EXISTS', KEYS[2]) == 0 or redis.call('HEXISTS', KEYS[2], 'ended') == 1 then
    result = 3
  elseif ARGV[5] ~= '' and redis.call('HSETNX', KEYS[3], ARGV[5], ARGV[6]) == 0 then
    result = 2
  elseif ARGV[9] ~= '' and redis.call('HSETNX', KEYS[2], 'part:' .. ARGV[9], ARGV[7]) == 0 then
    result = 2
  end
end
local at, letters = 11, tonumber(ARGV[8])
for i = first, #KEYS do
  if result == 1 or i < first + letters then
    at = append(KEYS[i], at)
  else
    at = at + tonumber(ARGV[at]) + 1
  end
end
if fan_in and result ~= 3 then
  if redis.call('HLEN', KEYS[3]) == 1 then -- the outcomes live as long as the record
    local left = redis.call('PTTL', KEYS[2])
    if left > 0 then
      redis.call('PEXPIRE', KEYS[3], left)
    end
  end
  local units = ARGV[7]
  if ARGV[9] ~= '' then
    units = total(KEYS[2], tonumber(ARGV[10]))
  end
  if units ~= '' then
    redis.call('HSETNX', KEYS[2], 'units', units)
  end
  close(KEYS[2], KEYS[3], KEYS[4], at)
end
acknowledge(stream, group, id)
return result
