-- Takes a dead node's connections over for removal. KEYS: leases, claims, counts. ARGV: node, how long in ms.
-- Answers 1 if the caller is the one to do it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs({KEYS[1], KEYS[2]}) do
  local ends = redis.call('ZSCORE', key, ARGV[1])
  if ends and tonumber(ends) <= now then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[3], ARGV[1])
    redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
    return 1
  end
end
return 0
