-- The last step of a fan-in alone, for a record whose last unit is done and whose final message is missing. Renews the
-- copy of the record's state, whose progress nothing else writes.
-- KEYS: record, outcomes, stream of the final message
-- ARGV: run, then the final message
-- Returns 1 when it was sent now, else 0.
local record, outcomes, final_stream = unpack(KEYS)
share(record)
if not goes_on(record, ARGV[1]) then
  return 0
end
redis.call('XLEN', final_stream)
return check_fan_in(record, outcomes, final_stream, 2)
