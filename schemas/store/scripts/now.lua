-- The clock of the server.
-- KEYS: a key, which chooses the node of a cluster
-- ARGV: none
-- Returns Unix seconds, as text.
return server_time()
