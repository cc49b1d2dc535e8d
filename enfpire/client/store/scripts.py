"""What the Redis store does atomically, as Lua scripts, and the names of its keys.

Keys, all under `PREFIX`; ids of parcels in hexadecimal:

    jobs:                   zset    ids of jobs by creation
    job:<job>:              hash    a JobRecord, and the counters recognised, failed, outstanding (photos)
    opening:<random>:       zset    photos of a job that is being opened; TTL, becomes waiting:<job>:
    waiting:<job>:          zset    "<row>:<photo>" by row
    parcel:<parcel>:        hash    job, query, body, places (msgpack [[row, photo], ...]), attempts, later its reply;
                                    asked, bits: what its question has shown
    parcels:<job>:          set     parcels of the job that are not resolved
    unanswered:             zset    parcels without a reply, by due; unanswered:<job>: those of one job
    answered:               zset    parcels with a reply, in the order of the replies; answered:<job>: likewise
    recognised:<job>:       hash    row -> packed recognition
    order:<job>:            list    rows in the order in which they were recognised
    parts:<job>:            hash    digest -> part of packed recognitions
    sets:<gallery>:         hash    digest -> candidate set of that gallery
    sets-order:<gallery>:   zset    their digests by age
    sets-bytes:<gallery>:   string  their size together
    clock:                  string  counter that orders replies and sets
    bundles: pins:          hash    digest -> bundle, gallery -> operator's key
    secret:                 string  under which contents of photos are hidden
    sent:                   hash    hidden content -> msgpack [bundle, message, bundle, message, ...]
    ledger:                 zset    bundles by first use, in hexadecimal
    ledger:<bundle>:        hash    an Entry, without its number of groups
    asked-groups:<bundle>:  set     group numbers that were asked for
    consented:<bundle>:     set     bundles that consent was weighed against

A script builds names of keys from ids: the store needs one Redis, not a Cluster.
"""

from __future__ import annotations

PREFIX = "enfclient:"


def key(name: str, variable: str = "") -> str:
    """Full name of a key of the table above."""
    return f"{PREFIX}{name}:{variable}:" if variable else f"{PREFIX}{name}:"


# `enter` and `leave` keep the zsets of all jobs and of one job the same; `remove` deletes a parcel; `release` deletes
# it, and those of its rows that have no recognition wait again; `open_entry` begins the account of a bundle.
_PRELUDE = """
local P = 'enfclient:'
local call = redis.call
local function enter(name, job, score, id)
  call('ZADD', P .. name .. ':', score, id)
  call('ZADD', P .. name .. ':' .. job .. ':', score, id)
end
local function leave(name, job, id)
  call('ZREM', P .. name .. ':', id)
  call('ZREM', P .. name .. ':' .. job .. ':', id)
end
local function remove(job, id)
  call('DEL', P .. 'parcel:' .. id .. ':')
  call('SREM', P .. 'parcels:' .. job .. ':', id)
  leave('unanswered', job, id)
  leave('answered', job, id)
end
local function release(id)
  local key = P .. 'parcel:' .. id .. ':'
  local job = call('HGET', key, 'job')
  if not job then return end
  local places = cmsgpack.unpack(call('HGET', key, 'places'))
  for _, place in ipairs(places) do
    if call('HEXISTS', P .. 'recognised:' .. job .. ':', place[1]) == 0 then
      call('ZADD', P .. 'waiting:' .. job .. ':', place[1], place[1] .. ':' .. place[2])
    end
  end
  remove(job, id)
  call('HINCRBY', P .. 'job:' .. job .. ':', 'outstanding', -#places)
end
local function open_entry(gallery, bundle)
  local name = bundle:gsub('.', function(c) return string.format('%02x', string.byte(c)) end)
  local key = P .. 'ledger:' .. name .. ':'
  if call('EXISTS', key) == 0 then
    call('HSET', key, 'gallery', gallery, 'bundle', bundle)
    call('ZADD', P .. 'ledger:', call('INCR', P .. 'clock:'), name)
  end
  return key, name
end
"""

# job, created, staging key or "", then fields and values
OPEN_JOB = (
    _PRELUDE
    + """
local job, created, staging = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'job:' .. job .. ':'
if call('EXISTS', key) == 1 then
  if staging ~= '' then call('DEL', staging) end
  return 0
end
for i = 4, #ARGV, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
call('ZADD', P .. 'jobs:', created, job)
if staging ~= '' then
  call('RENAME', staging, P .. 'waiting:' .. job .. ':')
  call('PERSIST', P .. 'waiting:' .. job .. ':')
end
return 1
"""
)

# job, state, whether its parcels go; 0 for an unknown job
SET_STATE = (
    _PRELUDE
    + """
local key = P .. 'job:' .. ARGV[1] .. ':'
if call('EXISTS', key) == 0 then return 0 end
call('HSET', key, 'state', ARGV[2])
if ARGV[3] == '1' then
  for _, id in ipairs(call('SMEMBERS', P .. 'parcels:' .. ARGV[1] .. ':')) do release(id) end
end
return 1
"""
)

# parcel, job, due, body, query, places, then of each photo hidden content, message, and how many it is known to have
# sent under other bundles; 0 for an unknown job, 2 where a photo has sent what was not known
PUT = (
    _PRELUDE
    + """
local id, job = ARGV[1], ARGV[2]
local key = P .. 'parcel:' .. id .. ':'
local state = call('HGET', P .. 'job:' .. job .. ':', 'state')
if not state then return 0 end
if state ~= 'open' or call('EXISTS', key) == 1 then return 1 end
local gallery, bundle = unpack(call('HMGET', P .. 'job:' .. job .. ':', 'gallery', 'bundle'))
local added = {}
for i = 7, #ARGV, 3 do
  local kept, known = call('HGET', P .. 'sent:', ARGV[i]), false
  local messages = kept and cmsgpack.unpack(kept) or {}
  local others = #messages / 2
  for j = 1, #messages, 2 do
    if messages[j] == bundle then
      if messages[j + 1] ~= ARGV[i + 1] then return 2 end
      known = true
      others = others - 1
    end
  end
  if others > tonumber(ARGV[i + 2]) then return 2 end
  if not known then
    messages[#messages + 1] = bundle
    messages[#messages + 1] = ARGV[i + 1]
    added[#added + 1] = {ARGV[i], cmsgpack.pack(messages)}
  end
end
for _, one in ipairs(added) do call('HSET', P .. 'sent:', one[1], one[2]) end
call('HINCRBY', open_entry(gallery, bundle), 'photos', #added)
local places = cmsgpack.unpack(ARGV[6])
call('HSET', key, 'job', job, 'body', ARGV[4], 'query', ARGV[5], 'places', ARGV[6], 'attempts', 0)
call('SADD', P .. 'parcels:' .. job .. ':', id)
enter('unanswered', job, ARGV[3], id)
call('HINCRBY', P .. 'job:' .. job .. ':', 'outstanding', #places)
for _, place in ipairs(places) do
  call('ZREMRANGEBYSCORE', P .. 'waiting:' .. job .. ':', place[1], place[1])
end
return 1
"""
)

# parcel, due, attempts
POSTPONE = (
    _PRELUDE
    + """
if not call('ZSCORE', P .. 'unanswered:', ARGV[1]) then return 0 end
local key = P .. 'parcel:' .. ARGV[1] .. ':'
enter('unanswered', call('HGET', key, 'job'), ARGV[2], ARGV[1])
call('HSET', key, 'attempts', ARGV[3])
return 1
"""
)

# parcel, reply; 0 where it is not wanted
KEEP_REPLY = (
    _PRELUDE
    + """
if not call('ZSCORE', P .. 'unanswered:', ARGV[1]) then return 0 end
local key = P .. 'parcel:' .. ARGV[1] .. ':'
local job = call('HGET', key, 'job')
call('HSET', key, 'reply', ARGV[2])
leave('unanswered', job, ARGV[1])
enter('answered', job, call('INCR', P .. 'clock:'), ARGV[1])
return 1
"""
)

# parcel, due, attempts
DROP_REPLY = (
    _PRELUDE
    + """
local key = P .. 'parcel:' .. ARGV[1] .. ':'
local job = call('HGET', key, 'job')
if not job then return 0 end
call('HDEL', key, 'reply')
call('HSET', key, 'attempts', ARGV[3])
leave('answered', job, ARGV[1])
enter('unanswered', job, ARGV[2], ARGV[1])
return 1
"""
)

# job, parcel or "", number of recognitions, then row, failed, body of each, then digest, body of each part;
# -1 for an unknown job
COMMIT = (
    _PRELUDE
    + """
local job, count = ARGV[1], tonumber(ARGV[3])
local key = P .. 'job:' .. job .. ':'
if call('EXISTS', key) == 0 then return -1 end
local stored, failed = 0, 0
for i = 4, 3 + 3 * count, 3 do
  if call('HSETNX', P .. 'recognised:' .. job .. ':', ARGV[i], ARGV[i + 2]) == 1 then
    call('RPUSH', P .. 'order:' .. job .. ':', ARGV[i])
    call('ZREMRANGEBYSCORE', P .. 'waiting:' .. job .. ':', ARGV[i], ARGV[i])
    stored = stored + 1
    failed = failed + tonumber(ARGV[i + 1])
  end
end
for i = 4 + 3 * count, #ARGV, 2 do call('HSETNX', P .. 'parts:' .. job .. ':', ARGV[i], ARGV[i + 1]) end
call('HINCRBY', key, 'recognised', stored - failed)
call('HINCRBY', key, 'failed', failed)
if ARGV[2] ~= '' then release(ARGV[2]) end
return stored
"""
)

# job
FORGET = (
    _PRELUDE
    + """
local job = ARGV[1]
for _, id in ipairs(call('SMEMBERS', P .. 'parcels:' .. job .. ':')) do remove(job, id) end
for _, name in ipairs({'job', 'waiting', 'recognised', 'order', 'parts'}) do
  call('UNLINK', P .. name .. ':' .. job .. ':')
end
call('ZREM', P .. 'jobs:', job)
return 1
"""
)

# gallery, cap in bytes, then digest and body of each set; sets that all galleries shared, as they did once, go
HOLD_SETS = (
    _PRELUDE
    + """
local gallery, cap = ARGV[1] .. ':', tonumber(ARGV[2])
local sets, order, bytes = P .. 'sets:' .. gallery, P .. 'sets-order:' .. gallery, P .. 'sets-bytes:' .. gallery
call('UNLINK', P .. 'sets:', P .. 'sets-order:', P .. 'sets-bytes:')
local total = tonumber(call('GET', bytes) or '0')
for i = 3, #ARGV, 2 do
  local digest, body = ARGV[i], ARGV[i + 1]
  if #body <= cap then
    total = total + #body - call('HSTRLEN', sets, digest)
    call('HSET', sets, digest, body)
    call('ZADD', order, call('INCR', P .. 'clock:'), digest)
  end
end
while total > cap do
  local oldest = call('ZRANGE', order, 0, 0)[1]
  if not oldest then break end
  total = total - call('HSTRLEN', sets, oldest)
  call('HDEL', sets, oldest)
  call('ZREM', order, oldest)
end
call('SET', bytes, total)
return 1
"""
)

# parcel, photos asked, bits, then group numbers
NOTE = (
    _PRELUDE
    + """
local key = P .. 'parcel:' .. ARGV[1] .. ':'
local job, places, asked, bits = unpack(call('HMGET', key, 'job', 'places', 'asked', 'bits'))
if not job then return 0 end
local before = tonumber(asked or '0')
local more = math.max(0, ARGV[2] - before)
local silent = asked and -more or #cmsgpack.unpack(places) - ARGV[2]
local entry, name = open_entry(unpack(call('HMGET', P .. 'job:' .. job .. ':', 'gallery', 'bundle')))
if before == 0 and more > 0 then call('HINCRBY', entry, 'queries', 1) end
call('HINCRBY', entry, 'asked', more)
call('HINCRBY', entry, 'silent', silent)
local revealed = math.max(tonumber(bits or '0'), tonumber(ARGV[3]))
call('HINCRBYFLOAT', entry, 'bits', string.format('%.17g', revealed - tonumber(bits or '0')))
call('HSET', key, 'asked', before + more, 'bits', string.format('%.17g', revealed))
for i = 4, #ARGV do call('SADD', P .. 'asked-groups:' .. name .. ':', ARGV[i]) end
return 1
"""
)

# gallery, bundle, bits, then the bundles that it was weighed against
CONSENT = (
    _PRELUDE
    + """
local entry, name = open_entry(ARGV[1], ARGV[2])
call('HSET', entry, 'consented', ARGV[3])
for i = 4, #ARGV do call('SADD', P .. 'consented:' .. name .. ':', ARGV[i]) end
return 1
"""
)
