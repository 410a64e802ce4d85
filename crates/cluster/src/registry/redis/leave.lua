-- Takes a connection out, if it is there. KEYS as for join. ARGV: epoch, connection, reason.
-- Answers: 0, or -2 if the app was forgotten.
if redis.call('HGET', KEYS[6], 'epoch') ~= ARGV[1] then return -2 end
local record = redis.call('HGET', KEYS[1], ARGV[2])
if record then remove(ARGV[2], record, ARGV[3]) end
return 0
