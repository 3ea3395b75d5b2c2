-- Gives up the lead.
-- KEYS: 1 lock
-- ARGV: 1 who gives up
-- Returns 1, or 0 when another one leads.
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
