-- Accepts a correction of a library: queues it behind those accepted before, and wakes a worker.
-- KEYS: names of the libraries, stream of tasks, inbox
-- ARGV: library, most corrections in the inbox, correction, under which question its caller waits, field and bytes of
--       the message
-- Returns 1, 0 when there is no such library, -1 when the inbox is full.
local names, stream, inbox = unpack(KEYS)
local library, limit, correction, question, field, message = unpack(ARGV)
if redis.call('SISMEMBER', names, library) == 0 then
  return 0
end
if redis.call('XLEN', inbox) >= tonumber(limit) then
  return -1
end
redis.call('XADD', inbox, '*', 'correction', correction, 'question', question)
redis.call('XADD', stream, '*', field, message)
return 1
