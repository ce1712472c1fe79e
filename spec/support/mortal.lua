--- Has an applier die at a boundary of the journal: for spec/fault/boundary_spec.lua, through spec/support/applier.lua.
--
-- $MSGRAPH_SPEC_DIE is "BOUNDARY KEY": the process kills itself there at the first operation with KEY in its op_key.
-- What dies on the wire is killed from outside: at "mid-send" and "no-answer" the file $MSGRAPH_SPEC_TRAP gets the
-- boundary and our process id once the intent is written, and spec/support/relay.lua does the rest.
local store = require "msgraph.store"
local worker = require "msgraph.offboard.journal.worker"

local M = {}

local boundary, key = (os.getenv "MSGRAPH_SPEC_DIE"):match "^(%S+) (%S+)$"

local function die_at(name)
  if name ~= boundary then return end
  os.execute("kill -KILL " .. store.pid())
end

local function set_trap()
  if boundary ~= "mid-send" and boundary ~= "no-answer" then return end
  local path = os.getenv "MSGRAPH_SPEC_TRAP"
  local file = assert(io.open(path .. ".new", "w"))
  file:write(boundary, " ", store.pid(), "\n")
  file:close()
  assert(os.rename(path .. ".new", path))
end

local function has_key(self, items)
  for _, item in ipairs(items) do
    local op = self.journal:read_op(self.journal.db, self.run_id, item.subj, item.op)
    if op.op_key:find(key, 1, true) then return true end
  end
  return false
end

-- Puts a function around a method of a worker: before(items) says whether after(items) is to be called.
local function around(self, name, before, after)
  local method = self[name]
  self[name] = function(_, items)
    local is_it = before(items)
    local results = table.pack(method(self, items))
    if is_it then after() end
    return table.unpack(results, 1, results.n)
  end
end

--- From now on each worker that joins is watched.
function M.watch()
  local join = worker.join
  function worker.join(...)
    local self, err = join(...)
    if not self then return nil, err end
    local is_settled = false
    around(self, "intend", function(items)
      local is_it = has_key(self, items)
      if is_it then die_at "before-intent" end
      return is_it
    end, function()
      die_at "after-intent"
      set_trap()
    end)
    around(self, "settle", function(items)
      local is_it = has_key(self, items)
      if is_it then die_at "before-outcome" end
      return is_it
    end, function()
      die_at "after-outcome"
      is_settled = true
    end)
    around(self, "release", function() return is_settled end, function() die_at "after-release" end)
    return self
  end
end

return M
