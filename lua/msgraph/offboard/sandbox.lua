-- lua/msgraph/offboard/sandbox.lua
--- Where a workflow file runs: it can describe, compute and read, and nothing else.
--
-- A global that is not declared is an error that names it and its line, found when the file is loaded, wherever in
-- it stands. There is no io, os.execute, debug or load, no way to reach a client, and a limit on how long a
-- function may compute. Memory is not limited: a workflow is trusted not to attack, only not to be right.
local config = require "msgraph.config"
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local globals = require "msgraph.offboard.globals"
local language = require "msgraph.offboard.language"

local M = {}

local BUDGET <const> = 20000000 -- instructions: about a fifth of a second
local STEP <const> = 100000

-- ---- what there is ------------------------------------------------------------------------------

local PLAIN = { "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type",
  "xpcall" }

local GONE = {
  io = "a workflow reads no files", debug = "there is no debug in a workflow", load = "no code is loaded in a workflow",
  loadstring = "no code is loaded in a workflow", loadfile = "no code is loaded in a workflow",
  dofile = "no code is loaded in a workflow", package = "there is only require \"msgraph.offboard\"",
  print = "use ob.log.info", coroutine = "g.get and g.list yield by themselves",
  setmetatable = "no metatables in a workflow", getmetatable = "no metatables in a workflow",
  rawset = "no raw access in a workflow", rawget = "no raw access in a workflow",
  collectgarbage = "memory is not the workflow's business",
}

local function copy(module, without)
  local out = {}
  for name, value in pairs(module) do
    if not (without and without[name]) then out[name] = value end
  end
  return out
end

-- The words of a workflow, which it cannot change.
local function read_only(module, name)
  return setmetatable({}, {
    __index = function(_, key)
      local value = module[key]
      if value ~= nil then return value end
      local meant = type(key) == "string" and config.nearest(key, module)
      error(("there is no '%s.%s'%s"):format(name, tostring(key),
        meant and (" (did you mean '%s.%s'?)"):format(name, meant) or ""), 2)
    end,
    __newindex = function() error(name .. " is not the workflow's to change", 2) end,
  })
end

local WORDS = copy(language, { Workflow = true, Source = true })

local function required(name)
  if name == "msgraph.offboard" then return read_only(WORDS, "ob") end
  error(("a workflow can only require \"msgraph.offboard\", not %q"):format(tostring(name)), 2)
end

local function new_globals()
  local names = { require = required, _VERSION = _VERSION, table = copy(table), math = copy(math), utf8 = copy(utf8),
    string = copy(string, { dump = true }),
    os = read_only({ date = os.date, time = os.time, difftime = os.difftime }, "os") }
  for _, name in ipairs(PLAIN) do names[name] = _G[name] end
  return names
end

local function undeclared(name, known)
  if GONE[name] then return ("'%s' is not there: %s"):format(name, GONE[name]) end
  local meant = config.nearest(name, known)
  return ("the global '%s' is not declared: write `local %s`, or did you mean '%s'?"):format(name, name, meant)
end

local function written(name)
  return ("the global '%s' is not declared: write `local %s`"):format(name, name)
end

local function environment(known)
  return setmetatable({}, {
    __index = function(_, name)
      local value = known[name]
      if value == nil then error(undeclared(tostring(name), known), 2) end
      return value
    end,
    __newindex = function(_, name)
      error(written(tostring(name)), 2)
    end,
  })
end

-- ---- running ------------------------------------------------------------------------------------

local HERE <const> = debug.getinfo(1, "S").source

local function too_long()
  if debug.getinfo(2, "S").source == HERE then return end -- M.call has it back
  error("the function computes too long (is it a loop without an end?)", 2)
end

-- Counts while a function of the workflow runs. Over its budget every further instruction of it raises: no pcall
-- catches its way out of that.
local function limit(co)
  local used = 0
  debug.sethook(co, function()
    used = used + STEP
    if used >= BUDGET then debug.sethook(co, too_long, "", 1) end
  end, "", STEP)
end

local function wrong(message)
  return errors.new { kind = "invalid", code = "workflow", message = message }
end

--- The error of a workflow that is not right. What the world raised stays what it is.
---@param problem any
---@return msgraph.Error
function M.error_of(problem)
  if errors.Error.is(problem) then return problem end
  return wrong((tostring(problem):match("^[^\n]*")))
end

-- A tail call leaves no line behind (`return g.patch(…)`): then at least the function is named.
local function placed(problem, fn)
  if type(problem) ~= "string" or problem:find("^[^\n:]*:%d+: ") then return problem end
  local at = debug.getinfo(fn, "S")
  return ("%s:%d: in the function that begins here: %s"):format(at.short_src, at.linedefined, problem)
end

--- Calls a function of a workflow. Raises a msgraph.Error: code "workflow" with its line, or what a read failed with.
---@param fn function
---@return any ... what it returned
function M.call(fn, ...)
  local co = coroutine.running()
  limit(co)
  local results = table.pack(pcall(fn, ...))
  debug.sethook(co)
  if not results[1] then error(M.error_of(placed(results[2], fn)), 0) end
  return table.unpack(results, 2, results.n)
end

-- ---- loading ------------------------------------------------------------------------------------

-- Globals in functions that have not run yet.
local function check_globals(chunk, known)
  local found = {}
  for _, use in ipairs(globals.of(chunk)) do
    if use.write or known[use.name] == nil then
      local message = use.write and written(use.name) or undeclared(use.name, known)
      found[#found + 1] = ("%s:%d: %s"):format(use.source, use.line, message)
    end
  end
  return found
end

local function problem(message)
  return nil, wrong(message)
end

--- Runs the text of a workflow.
---@param text string
---@param name string as messages name it: "leaver.lua"
---@return msgraph.offboard.Workflow?
---@return msgraph.Error? code "workflow", its message begins with file and line
---@return string[]? problems all of them, where there are several
function M.run(text, name)
  local known = new_globals()
  local chunk, reason = load(text, "@" .. name, "t", environment(known))
  if not chunk then return problem(reason) end
  local found = check_globals(chunk, known)
  if found[1] then return nil, wrong(found[1]), found end
  local ok, wf = pcall(M.call, chunk)
  if not ok then return nil, wf end
  if getmetatable(wf) ~= language.Workflow then
    return problem(("%s: a workflow file ends in `return` and what ob.workflow made"):format(name))
  end
  if #wf.stages == 0 then return problem(("%s: the workflow has no stage"):format(name)) end
  wf.file, wf.hash = name, "sha256:" .. core.sha256(text)
  return wf
end

--- Loads a workflow file.
---@param path string
---@return msgraph.offboard.Workflow?
---@return msgraph.Error?
---@return string[]? problems
function M.load(path)
  local file, reason = io.open(path, "rb")
  local text = file and file:read("a")
  if file then file:close() end
  if not text then return problem(reason or path .. ": it is no file") end
  return M.run(text:gsub("^\xEF\xBB\xBF", ""), path)
end

return M
