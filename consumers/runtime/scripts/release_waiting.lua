-- Moves messages from the fair queue of a stream to the stream, for a worker that is about to read it.
-- KEYS: stream
-- ARGV: most entries of the stream that nobody has read
-- Returns how many messages still wait.
return release(KEYS[1], tonumber(ARGV[1]))
