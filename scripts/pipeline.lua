-- wrk script: `wrk ... -s scripts/pipeline.lua URL -- DEPTH [event]`
-- Sends DEPTH requests at once on each connection. With `event` they are the challenge's posts,
-- user and value running as in its Go client; without, GETs of the URL's path.

local USERS, VALUES = 75000, 1000
local batches, at = {}, 0

local function event(i)
   local body = string.format('{"userId":"user_%d","value":%d.5}', i % USERS, i % VALUES)
   return wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
end

function init(args)
   local depth, events = tonumber(args[1] or "1"), args[2] == "event"
   local count = events and USERS or depth
   for first = 0, count - depth, depth do
      local batch = {}
      for i = first, first + depth - 1 do
         batch[#batch + 1] = events and event(i) or wrk.format()
      end
      batches[#batches + 1] = table.concat(batch)
   end
end

function request()
   at = at % #batches + 1
   return batches[at]
end
