-- The app as this node will use it. KEYS: what is known of the app. ARGV: a new epoch, a first number.
-- Answers with the epoch: another one than before means that Redis has forgotten the app meanwhile.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  local time = redis.call('TIME')
  -- Above every number that was given before.
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'number', string.format('%.0f', time[1] * 1000000 + time[2]))
end
return epoch
