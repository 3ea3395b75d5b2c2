-- Copies states and results of jobs for other programs.
-- KEYS: record and result of each job, in turn
-- ARGV: none
-- Returns nothing.
for i = 1, #KEYS, 2 do
  share(KEYS[i])
  share_result(KEYS[i], KEYS[i + 1])
end
