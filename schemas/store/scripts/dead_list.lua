-- Lists dead letters without their messages, which may have megabytes: they are read here one by one.
-- KEYS: dead letters
-- ARGV: id to begin at, or "(" and the id to begin after; most letters to return; names of the fields to return
-- Returns the id and the values of each letter; '' for a field that it does not have
local found, start = {}, ARGV[1]
for _ = 1, ARGV[2] do
  local entry = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  local values, wanted = {}, {entry[1]}
  for i = 1, #entry[2], 2 do
    values[entry[2][i]] = entry[2][i + 1]
  end
  for i = 3, #ARGV do
    wanted[#wanted + 1] = values[ARGV[i]] or ''
  end
  found[#found + 1] = wanted
  start = '(' .. entry[1]
end
return found
