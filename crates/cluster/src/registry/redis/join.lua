-- Records a connection. KEYS: sessions, devices, order, the node's connections, log, app, the node's tombstone.
-- ARGV: epoch, connection, device, node, session, kind: 'joined', or 'found' for one that Redis had forgotten.
-- Answers: the device's connections; -2 the app was forgotten, -3 this node was written off.
if redis.call('EXISTS', KEYS[7]) == 1 then return -3 end
if redis.call('HGET', KEYS[6], 'epoch') ~= ARGV[1] then return -2 end
local before = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or '0')
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return before end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4] .. ' ' .. ARGV[5])
redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
redis.call('ZADD', KEYS[3], 0, ARGV[2])
redis.call('SADD', KEYS[4], ARGV[2])
log(ARGV[6], ARGV[5], '', before + 1)
return before + 1
