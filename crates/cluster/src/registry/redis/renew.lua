-- Renews a node's lease. KEYS: leases, claims, counts, epoch. ARGV: node, lease in ms, connections, the epoch that the
-- node knows or nothing, a new epoch.
-- Answers: 'ok', 'lost' (others have written this node off) or 'forgotten' (Redis has); then the epoch, connections of
-- all nodes, nodes, and the nodes whose lease or whose claim has ended.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[4])
local state = 'ok'
if not epoch then
  epoch = ARGV[5]
  redis.call('SET', KEYS[4], epoch)
end
if ARGV[4] ~= '' then
  if epoch ~= ARGV[4] then
    state = 'forgotten'
  elseif not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return {'lost', epoch, 0, 0}
  end
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
local total = 0
for _, count in ipairs(redis.call('HVALS', KEYS[3])) do total = total + count end
local answer = {state, epoch, total, redis.call('ZCARD', KEYS[1])}
for _, key in ipairs({KEYS[1], KEYS[2]}) do
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 16)) do
    table.insert(answer, node)
  end
end
return answer
