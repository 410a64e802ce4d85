-- Takes out some of a dead node's connections, so few that nobody waits long. KEYS as for join, with the dead node's.
-- ARGV: how many, the reason, how long the tombstone stands in seconds. Answers with how many are left.
redis.call('SET', KEYS[7], '1', 'EX', ARGV[3])
for _, connection in ipairs(redis.call('SRANDMEMBER', KEYS[4], ARGV[1])) do
  local record = redis.call('HGET', KEYS[1], connection)
  if record then
    remove(connection, record, ARGV[2])
  else
    redis.call('SREM', KEYS[4], connection)
  end
end
return redis.call('SCARD', KEYS[4])
