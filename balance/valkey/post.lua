#!lua name=ocs
-- Compare-and-post. No arithmetic here, and no rule: Lua's numbers are doubles, the rules live in one language only.
--
-- Each call back into the server costs about as much as all of Lua around it, and each effect is a command in the
-- append-only file: so what can be written by one MSET is, and a lone MSET needs no MULTI and EXEC around it there.

local function same(key, version)
  return redis.call('GETRANGE', key, '0', '7') == version
end

-- What stands there now, for a caller that expected something else: {account, session, ...}.
local function there(keys, first)
  local names = {keys[1]}
  for i = first, #keys do
    names[#names + 1] = keys[i]
  end
  return redis.call('MGET', unpack(names))
end

-- The usual posting: an account and one open session whose deadline stays, with nothing for the outbox.
-- keys: account, session
-- args: expected version (8 bytes; '' when the account must not exist), the account's new value, the session's
redis.register_function('ocs_update', function(keys, args)
  if not same(keys[1], args[1]) then
    return there(keys, 2)
  end
  redis.call('MSET', keys[1], args[2], keys[2], args[3])
  return 1
end)

-- Every posting.
-- keys: account, outbox stream, deadlines index, index of open sessions by account, then one per session
-- args: expected version, the account's new value,
--       per session: value ('' deletes), life ('' for ever, else milliseconds; a leading N: must not exist yet),
--                    deadline ('' leaves the indexes alone, '0' takes the session out, else its score), its account and
--                    name there, with an octet 0 between
--       (an account that changes along is written as a session: a value that stays for ever, in no index),
--       then the outbox entries
-- returns 1, or what stands there now
redis.register_function('ocs_post', function(keys, args)
  local sessions = #keys - 4
  if not same(keys[1], args[1]) then
    return there(keys, 5)
  end
  for i = 1, sessions do
    if string.byte(args[4 * i]) == 78 and redis.call('EXISTS', keys[4 + i]) == 1 then
      return there(keys, 5)
    end
  end
  local writes = {keys[1], args[2]}
  for i = 1, sessions do
    local at = 4 * i - 1
    local key, value, life, deadline = keys[4 + i], args[at], args[at + 1], args[at + 2]
    if value == '' then
      redis.call('DEL', key)
    elseif life == '' or life == 'N' then
      writes[#writes + 1] = key
      writes[#writes + 1] = value
    else
      if string.byte(life) == 78 then
        life = string.sub(life, 2)
      end
      redis.call('SET', key, value, 'PX', life)
    end
    if deadline ~= '' then
      local holder = args[at + 3]
      local name = string.match(holder, '%z(.*)')
      if deadline == '0' then
        redis.call('ZREM', keys[3], name)
        redis.call('ZREM', keys[4], holder)
      else
        redis.call('ZADD', keys[3], deadline, name)
        redis.call('ZADD', keys[4], '0', holder)
      end
    end
  end
  redis.call('MSET', unpack(writes))
  for i = 3 + 4 * sessions, #args do
    redis.call('XADD', keys[2], '*', 'e', args[i])
  end
  return 1
end)
