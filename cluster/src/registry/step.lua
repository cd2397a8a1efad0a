-- One step of the registry, atomic as every script: drop lapsed members, do what is asked, tell the view.
--
-- KEYS leases   sorted set: generation -> end of its lease, in ms by the clock of this server
--      members  hash: generation -> what it tells of itself, its address first
--      view     hash: number, born (when this server first heard of the cluster, in us)
-- ARGV what is asked (join, renew, leave, view), the length of a lease in ms, generation, record
--
-- Answers who has taken the caller's place ('' for nobody), the server's run id, born, the view's
-- number, the time in us, and generation, record, generation, record, ...

local leases, members, view = KEYS[1], KEYS[2], KEYS[3]
local asked, lease_ms, generation, record = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local is_changed = false

local function drop(member)
  local leased = redis.call('ZREM', leases, member)
  local known = redis.call('HDEL', members, member)
  is_changed = is_changed or leased + known > 0
end

local function address(of)
  return string.match(of, '^%S+')
end

local function other_with_the_address()
  for _, member in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    local known = redis.call('HGET', members, member)
    if known and member ~= generation and address(known) == address(record) then
      return member
    end
  end
end

-- Numbers of this size would be written with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)

for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', digits(now_ms))) do
  drop(lapsed)
end

local replaced_by = ''
if asked == 'join' then
  local other = other_with_the_address()
  while other do
    drop(other)
    other = other_with_the_address()
  end
elseif asked == 'renew' then
  replaced_by = other_with_the_address() or ''
elseif asked == 'leave' then
  drop(generation)
end

if (asked == 'join' or asked == 'renew') and replaced_by == '' then
  redis.call('ZADD', leases, digits(now_ms + lease_ms), generation)
  if redis.call('HGET', members, generation) ~= record then
    redis.call('HSET', members, generation, record)
    is_changed = true
  end
end

redis.call('HSETNX', view, 'born', digits(now_us))
redis.call('HINCRBY', view, 'number', is_changed and 1 or 0)

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local born, number = unpack(redis.call('HMGET', view, 'born', 'number'))
local alive = {}
for _, member in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
  local known = redis.call('HGET', members, member)
  if known then
    alive[#alive + 1] = member
    alive[#alive + 1] = known
  end
end
return { replaced_by, run, born, number, digits(now_us), alive }
