#!lua name=ocs
-- Compare-and-post. No arithmetic here, and no rule: Lua's numbers are doubles, the rules live in one language only.
--
-- keys: account, outbox stream, deadlines index, then one per session
-- args: expected version (8 bytes; '' when the account must not exist), the account's new value,
--       per session: value ('' deletes), life ('' for ever, else milliseconds; a leading N: must not exist yet),
--                    deadline ('' leaves the index alone, '0' takes the session out, else its score),
--       then the outbox entries
-- returns 1, or what stands there now: {account, session, ...}
redis.register_function('ocs_post', function(keys, args)
  local sessions = #keys - 3
  local same = redis.call('GETRANGE', keys[1], 0, 7) == args[1]
  if same then
    for i = 1, sessions do
      if string.byte(args[3 * i + 1]) == 78 and redis.call('EXISTS', keys[3 + i]) == 1 then
        same = false
        break
      end
    end
  end
  if not same then
    local there = {redis.call('GET', keys[1])}
    for i = 1, sessions do
      there[i + 1] = redis.call('GET', keys[3 + i])
    end
    return there
  end
  redis.call('SET', keys[1], args[2])
  for i = 1, sessions do
    local key, value, life, deadline = keys[3 + i], args[3 * i], args[3 * i + 1], args[3 * i + 2]
    if string.byte(life) == 78 then
      life = string.sub(life, 2)
    end
    if value == '' then
      redis.call('DEL', key)
    elseif life == '' then
      redis.call('SET', key, value)
    else
      redis.call('SET', key, value, 'PX', life)
    end
    if deadline == '0' then
      redis.call('ZREM', keys[3], string.sub(key, string.find(key, '}s:', 1, true) + 3))
    elseif deadline ~= '' then
      redis.call('ZADD', keys[3], deadline, string.sub(key, string.find(key, '}s:', 1, true) + 3))
    end
  end
  for i = 3 + 3 * sessions, #args do
    redis.call('XADD', keys[2], '*', 'e', args[i])
  end
  return 1
end)
