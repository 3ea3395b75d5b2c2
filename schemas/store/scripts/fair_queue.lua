-- Prepended to every script of every package: fair queueing in front of a stream.
-- What comes while an entry of the stream is unread waits in a sorted set, `STREAM:waiting`, in the order of virtual
-- start times (start-time fair queueing: Goyal, Vin, Cheng, SIGCOMM 1996). A member is the caller, a space and the bytes of
-- the message. `STREAM:turns` has the virtual end of each caller's last message, and the virtual time under NOW. Both are
-- keys in the slot of the stream, and exist only while something waits. Each step is O(log n) in what waits.

-- No caller's name has a colon.
local NOW = ':now'

-- Callers that are remembered; of more, those are forgotten that are due first.
local MAX_CALLERS = 10000

-- A caller that had nothing waiting is as far ahead of the others as this at most (entries of weight 1).
local MAX_CREDIT = 32

local function waiting_of(stream)
  return stream .. ':waiting'
end

local function turns_of(stream)
  return stream .. ':turns'
end

-- Entries of a stream that its group has read and not acknowledged. Unlike XPENDING it does not look at each consumer.
local function pending(stream)
  local group = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream)[1] or {}
  for i = 1, #group, 2 do
    if group[i] == 'pending' then
      return group[i + 1]
    end
  end
  return 0
end

-- How many messages wait for a stream, and how many of its entries its group has not read, as this call has counted
-- them: nothing else changes them meanwhile.
local counts = {}

local function waits(stream)
  local count = counts[stream] or {waiting = redis.call('ZCARD', waiting_of(stream))}
  counts[stream] = count
  return count.waiting
end

local function unread(stream)
  waits(stream)
  local count = counts[stream]
  if not count.unread then
    local length = redis.call('XLEN', stream)
    count.unread = length > 0 and length - pending(stream) or 0
  end
  return count.unread
end

-- Moves waiting messages to the stream until so many of its entries are unread; returns how many still wait.
local function release(stream, wanted)
  local waiting, turns, size = waiting_of(stream), turns_of(stream), waits(stream)
  local room = size > 0 and math.min(size, wanted - unread(stream)) or 0
  if room <= 0 then
    return size
  end
  local first, now = redis.call('ZRANGE', waiting, 0, room - 1, 'WITHSCORES'), nil
  for i = 1, #first, 2 do
    redis.call('XADD', stream, '*', 'msgpack', string.sub(first[i], string.find(first[i], ' ', 1, true) + 1))
    now = first[i + 1]
  end
  redis.call('ZREMRANGEBYRANK', waiting, 0, room - 1)
  if size == room then
    redis.call('ZREMRANGEBYRANK', turns, 0, -1) -- a right to DEL would be one to more keys
  else
    redis.call('ZADD', turns, 'GT', now, NOW)
    redis.call('ZREMRANGEBYSCORE', turns, '-inf', '(' .. string.format('%.17g', tonumber(now) - MAX_CREDIT))
  end
  counts[stream] = {waiting = size - room, unread = unread(stream) + room}
  return size - room
end

-- Sends a message to a stream, or lets it wait for its turn.
-- caller: '' is one too; step: 1 / weight of the caller; credit: entries that it is ahead of others when nothing of it
-- waited before, so that little work does not wait behind much. Who waits first has no others to be ahead of: a caller
-- that comes a moment later would wait behind its credit.
local function send(stream, caller, step, credit, bytes)
  local waiting, turns = waiting_of(stream), turns_of(stream)
  if waits(stream) == 0 and unread(stream) == 0 then
    redis.call('XADD', stream, '*', 'msgpack', bytes)
    counts[stream].unread = 1
    return
  end
  if waits(stream) == 0 then
    credit = 0
  end
  local now, last = unpack(redis.call('ZMSCORE', turns, NOW, caller))
  local start = math.max(tonumber(last or '-inf'), tonumber(now or 0) - credit)
  local is_new = redis.call('ZADD', turns, string.format('%.17g', start + step), caller) == 1
  local added = redis.call('ZADD', waiting, 'NX', string.format('%.17g', start), caller .. ' ' .. bytes)
  counts[stream].waiting = waits(stream) + added
  if is_new and redis.call('ZCARD', turns) > MAX_CALLERS then
    local lowest = redis.call('ZRANGE', turns, 0, 1)
    redis.call('ZREM', turns, lowest[1] == NOW and lowest[2] or lowest[1])
  end
  release(stream, 1)
end

-- How much of a caller waits for a stream, at most: its messages times `step`, and its credit.
local function backlog(stream, caller, credit)
  local now, last = unpack(redis.call('ZMSCORE', turns_of(stream), NOW, caller))
  return last and math.max(0, tonumber(last) - tonumber(now or 0) + credit) or 0
end
