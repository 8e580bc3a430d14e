-- The lease store's only writer: join, renew, drain, leave and poll, in one atomic step. All judgement about time is here.
--
-- KEYS  1 leases: sorted set, id -> when the lease lapses (ms)   2 members: hash, id -> entry   3 meta: hash, one of each
-- ARGV  1 operation: hold, leave or poll (7 to 12 and 14 then say nothing)   2 channel   3 held epoch   4 held digest
--       5 highest epoch the caller has ever seen   6 most members   7 id   8 start, 0 if not yet given   9 endpoint
--       10 ring name   11 state   12 weight   13 lease (ms)   14 ring parameters, method/version/slots
--       15 where OTLP/HTTP is taken, 16 where admin pages are, '' if nowhere
-- Entry: endpoint TAB ring name TAB state TAB weight TAB start, then TAB http if that or admin is not empty, then TAB admin if
-- it is not. It is what the digest covers (gateway.membership.make_view).
-- Reply: standing, epoch, digest, recovering (0 or 1), lease (ms), own start, ring parameters, and when the caller's view
-- differs: predecessor's members (lines), members (id, entry, id, entry, ...).

local LEASES, MEMBERS, META = KEYS[1], KEYS[2], KEYS[3]
local op, channel, held_epoch, held_digest, seen = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local id, start = ARGV[7], tonumber(ARGV[8])
local ring = ARGV[14]

local function text(number)  -- Lua writes large numbers as 1e+15
  return string.format('%.0f', number)
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local stored = redis.call('HMGET', META, 'epoch', 'digest', 'called_at', 'recovering_until', 'born_at', 'lease', 'ring')
local missing = not stored[1]
local epoch, digest, called_at = tonumber(stored[1] or '0'), stored[2] or '', tonumber(stored[3] or now)
local recovering_until, born_at = tonumber(stored[4] or '0'), tonumber(stored[5] or now)
local lease, ring_in_force = tonumber(stored[6] or ARGV[13]), stored[7]
if ring_in_force == '' then ring_in_force = false end

-- Time. Every instant kept here is shifted by what nobody can have lived through: the whole gap when the store was silent
-- or its clock jumped ahead (a lease never ages by it), and back when the clock went back (a beat is never in the future).
local gap = now - called_at
if gap < 0 or gap * 3 > lease then
  local all = redis.call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    redis.call('ZADD', LEASES, text(tonumber(all[i + 1]) + gap), all[i])
  end
  recovering_until, born_at = recovering_until + gap, born_at + gap
end

-- The members as they were before the first change of this call, for the predecessor. Reading them is the dear part.
local before
local function changing()
  before = before or redis.call('HGETALL', MEMBERS)
end

local function remove(member)
  changing()
  redis.call('HDEL', MEMBERS, member)
  redis.call('ZREM', LEASES, member)
end

local function fields(entry)
  local endpoint, _, state, _, started = string.match(entry, '^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)')
  return endpoint, state, tonumber(started)
end

-- Calls fn(id, state, start) for each other replica on the caller's endpoint.
local function each_on_endpoint(fn)
  local all = redis.call('HGETALL', MEMBERS)
  for i = 1, #all, 2 do
    local endpoint, state, started = fields(all[i + 1])
    if endpoint == ARGV[9] and all[i] ~= id then fn(all[i], state, started) end
  end
end

-- May the caller be listed? The newer of two replicas on one endpoint wins as soon as it is past joining.
local function standing_of_newcomer()
  local count = redis.call('HLEN', MEMBERS)
  if count > 0 and ring_in_force and ring_in_force ~= ring then return 'refused' end
  if count >= tonumber(ARGV[6]) then return 'full' end
  local standing = 'held'
  each_on_endpoint(function(_, state, started)
    if start > 0 and started > start and state ~= 'joining' then standing = 'superseded' end
  end)
  if standing == 'held' and count == 0 then ring_in_force = ring end
  return standing
end

-- A call may be carried out long after its caller gave it up, and after a later one: a state never goes back, a start once
-- given stays, and who has left stays away. Ids are never used again, so those that left are remembered without a time: as
-- many as may be members, the newest first.
local RANK = { joining = 1, active = 2, draining = 3 }

local function left()
  return redis.call('HGET', META, 'left') or '\n'
end

local function leave()
  if redis.call('HEXISTS', MEMBERS, id) == 1 then remove(id) end
  local ids, kept = left(), { '', id }
  for other in string.gmatch(ids, '[^\n]+') do
    if #kept > tonumber(ARGV[6]) then break end
    if other ~= id then kept[#kept + 1] = other end
  end
  redis.call('HSET', META, 'left', table.concat(kept, '\n') .. '\n')
end

local function hold()
  local listed, state = redis.call('HGET', MEMBERS, id), ARGV[11]
  if listed then
    local _, listed_state, listed_start = fields(listed)
    if RANK[listed_state] > RANK[state] then state = listed_state end
    start = listed_start
  else
    if string.find(left(), '\n' .. id .. '\n', 1, true) then return 'left' end
    local standing = standing_of_newcomer()
    if standing ~= 'held' then return standing end
  end
  local last_start = tonumber(redis.call('HGET', META, 'last_start') or '0')
  if start == 0 then start = math.max(last_start + 1, now) end  -- time, so that it grows even over a Redis that lost all
  if start > last_start then redis.call('HSET', META, 'last_start', text(start)) end
  local entry = table.concat({ ARGV[9], ARGV[10], state, ARGV[12], text(start) }, '\t')
  if ARGV[15] ~= '' or ARGV[16] ~= '' then entry = entry .. '\t' .. ARGV[15] end
  if ARGV[16] ~= '' then entry = entry .. '\t' .. ARGV[16] end
  lease, ring_in_force = tonumber(ARGV[13]), ring_in_force or ring
  redis.call('ZADD', LEASES, text(now + lease), id)
  if listed == entry then return 'held' end
  changing()
  redis.call('HSET', MEMBERS, id, entry)
  if state ~= 'joining' then
    each_on_endpoint(function(other, _, started) if started < start then remove(other) end end)
  end
  return 'held'
end

-- Removes what has lapsed. When half or more of the members are late, the fault is likely ours: they go one lease later.
-- Late is two thirds of a lease without a beat, so that members that fell silent together are counted together.
local function sweep()
  if redis.call('ZCARD', LEASES) ~= redis.call('HLEN', MEMBERS) then  -- one key was lost: all that is listed has a lease
    local listed = redis.call('HKEYS', MEMBERS)
    for _, member in ipairs(listed) do redis.call('ZADD', LEASES, 'NX', text(now + lease), member) end
    for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
      if redis.call('HEXISTS', MEMBERS, member) == 0 then redis.call('ZREM', LEASES, member) end
    end
  end
  if redis.call('ZCOUNT', LEASES, '-inf', text(now)) == 0 then return end
  local late, limit = redis.call('ZCOUNT', LEASES, '-inf', text(now + lease / 3)), now
  if late * 2 >= redis.call('ZCARD', LEASES) then limit = now - lease end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(limit))) do remove(member) end
end

local function lines(flat)
  local out = {}
  for i = 1, #flat, 2 do out[#out + 1] = flat[i] .. '\t' .. flat[i + 1] end
  table.sort(out)  -- ids are hex of one length, so every locale sorts them like bytes
  return out
end

local standing = 'held'
if op == 'hold' then
  standing = hold()
elseif op == 'leave' then
  leave()
end
sweep()

-- The epoch. It goes up when the members differ, and past every number a caller knows for something else.
local members
local raise = false
if before or (digest == '' and ring_in_force and redis.call('HLEN', MEMBERS) > 0) then
  members = redis.call('HGETALL', MEMBERS)
  local content = lines(members)
  table.insert(content, 1, ring_in_force or '')
  local new_digest = string.sub(redis.sha1hex(table.concat(content, '\n')), 1, 16)
  if new_digest ~= digest then
    raise, digest = true, new_digest
    redis.call('HSET', META, 'predecessor', table.concat(lines(before or {}), '\n'))
  end
end
if seen > epoch then
  if missing or now < born_at + lease then recovering_until = math.max(recovering_until, now + lease) end
  epoch, raise = seen, true
elseif held_epoch == epoch and held_digest ~= digest then
  raise = true
end
if raise then
  epoch = epoch + 1
  redis.call('PUBLISH', channel, text(epoch))
end
redis.call('HSET', META, 'epoch', text(epoch), 'digest', digest, 'called_at', text(now), 'born_at', text(born_at),
  'recovering_until', text(recovering_until), 'lease', text(lease), 'ring', ring_in_force or '')

local recovering = now < recovering_until
local reply = { standing, text(epoch), digest, recovering and 1 or 0, text(lease), text(start), ring_in_force or '' }
local differs = digest ~= '' and (held_epoch ~= epoch or held_digest ~= digest)
if differs and op ~= 'leave' and not (recovering and held_epoch > 0) then
  reply[8] = redis.call('HGET', META, 'predecessor') or ''
  reply[9] = members or redis.call('HGETALL', MEMBERS)
end
return reply
