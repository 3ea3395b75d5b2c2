-- What decides whether a job may have more frames under way.
-- KEYS: record, outcomes, stream that the job was read from, then the streams of frames
-- ARGV: caller, step and credit of its frames, then the fields of the record that count samples
-- Returns its run ('' when it is over), its frames under way, frames under way of all jobs, those of the caller that wait
-- (with its credit, at most), and 1 when a job of another caller waits to be read.
local record, outcomes, source = unpack(KEYS, 1, 3)
local caller, step, credit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local run, ended = unpack(redis.call('HMGET', record, 'run', 'ended'))
local sampled, all, own = 0, 0, 0
for _, count in ipairs(redis.call('HMGET', record, unpack(ARGV, 4))) do
  sampled = sampled + tonumber(count or 0)
end
for i = 4, #KEYS do
  all = all + redis.call('XLEN', KEYS[i]) + waits(KEYS[i])
  own = own + math.min(waits(KEYS[i]), backlog(KEYS[i], caller, credit) / step)
end
local head = redis.call('ZRANGE', waiting_of(source), 0, 0)[1]
local other = head and string.sub(head, 1, string.find(head, ' ', 1, true) - 1) ~= caller
return {not ended and run or '', sampled - redis.call('HLEN', outcomes), all, math.ceil(own), other and 1 or 0}
