-- Notes that a node has connections of an app. KEYS: leases, the node's apps. ARGV: node, app.
-- Answers 0 if the node was written off.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
return 1
