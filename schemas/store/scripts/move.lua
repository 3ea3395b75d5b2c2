-- Moves keys of an earlier version to their present names; each as a whole, so that it may be repeated at any point.
-- KEYS: present and earlier name of each key, in turn
-- ARGV: none
-- Returns the earlier names of keys that stay, because something else has their present name.
local staying = {}
for i = 1, #KEYS, 2 do
  local key, earlier = KEYS[i], KEYS[i + 1]
  local kind, present = redis.call('TYPE', earlier).ok, redis.call('TYPE', key).ok
  -- A state or result that is a string is the shared copy, or another program's.
  local copy = kind == 'string' and (string.match(earlier, ':metadata$') or string.match(earlier, ':result$'))
  if kind == 'stream' and present ~= 'none' and redis.call('XLEN', earlier) == 0 then
    redis.call('UNLINK', earlier) -- nothing but its group, which the present stream has
  elseif kind ~= 'none' and not copy then
    if present == 'none' or (present == 'stream' and redis.call('XLEN', key) == 0) then
      redis.call('RENAME', earlier, key)
    else
      staying[#staying + 1] = earlier
    end
  end
end
return staying
