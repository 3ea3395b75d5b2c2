-- Writes hashes that belong to a job, while its run goes on.
-- KEYS: record, then the hashes
-- ARGV: run, then the hashes (write_hashes)
-- Returns 1, or 0 when the run is over.
if not goes_on(KEYS[1], ARGV[1]) then
  return 0
end
write_hashes(2, #KEYS, 2)
return 1
