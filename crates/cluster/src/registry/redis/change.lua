-- Shared by join, leave and claim: one entry of the app's log for each change, numbered without holes, so that a
-- reader knows when it has missed some. KEYS[5] is the log, KEYS[6] what is known of the app.
local function log(kind, session, reason, count)
  local number = redis.call('HINCRBY', KEYS[6], 'number', 1)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, string.format('%.0f-0', number),
    'kind', kind, 'session', session, 'reason', reason, 'count', count)
end

-- Takes a connection out. `record` is its node's name, a space, and its session as JSON.
local function remove(connection, record, reason)
  local session = string.sub(record, string.find(record, ' ', 1, true) + 1)
  local device = cjson.decode(session)['device_id']
  redis.call('HDEL', KEYS[1], connection)
  redis.call('ZREM', KEYS[3], connection)
  redis.call('SREM', KEYS[4], connection)
  local count = redis.call('HINCRBY', KEYS[2], device, -1)
  if count <= 0 then
    count = 0
    redis.call('HDEL', KEYS[2], device)
  end
  log('left', session, reason, count)
end
