-- lua/msgraph/client.lua
--- A client: one endpoint, one credential, and the requests made with them.
--
-- Inside a task a request yields, outside it waits; same call, same result. The token goes to the
-- client's endpoint and nowhere else: the core refuses other URLs and follows no redirect.
local auth = require "msgraph.auth"
local config = require "msgraph.config"
local core = require "msgraph.core"
local devices = require "msgraph.devices"
local errors = require "msgraph.errors"
local host = require "msgraph.host"
local loop = require "msgraph.loop"
local repeatable = require "msgraph.repeatable"
local requests = require "msgraph.request"
local response = require "msgraph.response"

local M = {}

---@class msgraph.Client
---@field endpoint string "https://graph.microsoft.com"
---@field package origin msgraph.core.Origin
---@field package login? string the sign-in host, where it is another than the endpoint's
---@field package signs_in? msgraph.core.Credential one that can get a token by itself
---@field package opened msgraph.Opened what its credential is opened to
---@field package dispatch fun(origin: msgraph.core.Origin, request: msgraph.core.Request, owner: any): table?, table?
---@field package trace? msgraph.Trace what stands around it
---@field package guard? msgraph.auth.Guard of a credential that takes more than the core
local Client = { __name = "msgraph.Client" }
Client.__index = Client

-- ---- sending ------------------------------------------------------------------------------------

local CLOSED = { kind = "invalid", code = "closed", message = "the client is closed", phase = "not_sent" }

-- Sends a request and waits for its answer.
local function attempt(self, request)
  if self.closed then return nil, CLOSED end
  return self.dispatch(self.origin, request, self)
end

-- The same with a credential whose token takes more than the core: a function of the author's, a user who has
-- to sign in. What is refused for its token was not acted on, whatever the method: once more.
local function attempt_guarded(self, request)
  if self.closed then return nil, CLOSED end
  local guard, origin = self.guard, self.origin
  local failure, mark = guard.ready(origin)
  if failure then return nil, failure end
  local raw
  raw, failure = attempt(self, request)
  if not guard.refused(mark, raw, failure) then return raw, failure end
  failure = guard.ready(origin)
  if failure then return nil, failure end
  return attempt(self, request)
end

--- Sends a request by itself and waits for its answer.
---@package
---@param request msgraph.core.Request
---@return msgraph.core.Response?
---@return msgraph.core.Failure?
function Client:deliver(request)
  return (self.guard and attempt_guarded or attempt)(self, request)
end

-- What sends the calls of the running task together, and that task; nil where they go one by one.
local function engine_of(self)
  local running = loop.resumed()
  local scope = running and not running.flies and running.scope
  local engines = scope and scope.engines
  if engines and loop.current() then return engines[self], running end
end

--- Sends a request, in a batch where the task's `map` says so, and waits for its answer.
---@package
---@param request msgraph.core.Request
---@return msgraph.core.Response?
---@return msgraph.Error?
function Client:exchange(request)
  local engine, running = engine_of(self)
  local raw, failure
  if engine then
    raw, failure = engine:exchange(request, running)
  else
    raw, failure = self:deliver(request)
  end
  if not raw then return nil, errors.from_failure(failure, request, self.login, self.opened.consent_url) end
  if raw.acted_before and repeatable.done_before(request, raw) then raw.status, raw.body = 204, "" end
  return raw
end

--- Sends a request: its body, or the Error.
---@package
---@param request msgraph.core.Request
---@return any body
---@return msgraph.Error?
function Client:send(request)
  local raw, err = self:exchange(request)
  if not raw then return nil, err end
  return response.read(raw, request)
end

-- What the core would not send is the caller's mistake; a full URL may be an answer's (a nextLink),
-- and then it is the world's.
local function is_mistake(err, path)
  return err ~= nil and err.code == "bad_request" and path:find("^/") ~= nil
end

-- Builds and sends; a mistake of the caller's is raised where the caller stands, which is the next
-- level: the methods below leave by a tail call.
local function call(self, method, path, body, opts)
  if opts then config.check(opts, requests.CALL, method:lower(), 3) end
  local ok, request = pcall(requests.build, method, path, body, opts)
  if not ok then error(("%s: %s"):format(method:lower(), request), 2) end
  local answer, err = self:send(request)
  if is_mistake(err, path) then error(("%s: %s"):format(method:lower(), err.message), 2) end
  return answer, err
end

--- GET. Reads `path`: "/users" (of v1.0), "/beta/users", or a full URL of the endpoint (a nextLink).
---@param path string
---@param opts? msgraph.RequestOpts
---@return any body decoded JSON; other types as text; true where there is none
---@return msgraph.Error? raises for a wrong path or option
function Client:get(path, opts)
  return call(self, "GET", path, nil, opts)
end

--- POST. A table travels as JSON, a string as it is with the Content-Type given in headers.
---@param path string
---@param body? table|string
---@param opts? msgraph.RequestOpts
---@return any body
---@return msgraph.Error? kind "ambiguous": it may have been acted on
function Client:post(path, body, opts)
  return call(self, "POST", path, body, opts)
end

--- PATCH, as `post`.
---@param path string
---@param body? table|string
---@param opts? msgraph.RequestOpts
---@return any body
---@return msgraph.Error?
function Client:patch(path, body, opts)
  return call(self, "PATCH", path, body, opts)
end

--- PUT, as `post`.
---@param path string
---@param body? table|string
---@param opts? msgraph.RequestOpts
---@return any body
---@return msgraph.Error?
function Client:put(path, body, opts)
  return call(self, "PUT", path, body, opts)
end

--- DELETE, as `get`.
---@param path string
---@param opts? msgraph.RequestOpts
---@return any body
---@return msgraph.Error?
function Client:delete(path, opts)
  return call(self, "DELETE", path, nil, opts)
end

--- Any request, and the whole answer.
---@param full msgraph.FullRequest
---@return msgraph.Response? of a status 2xx
---@return msgraph.Error? raises for a wrong field
function Client:request(full)
  if type(full) ~= "table" then error(("request: a table is expected, got %s"):format(type(full)), 2) end
  config.check(full, requests.FULL, "request", 3)
  if not full.method then error("request: 'method' is missing", 2) end
  local ok, request = pcall(requests.build, full.method:upper(), full.path, full.body, full)
  if not ok then error("request: " .. request, 2) end
  local raw, err = self:exchange(request)
  if is_mistake(err, full.path) then error("request: " .. err.message, 2) end
  if not raw then return nil, err end
  local body
  body, err = response.read(raw, request)
  if body == nil then return nil, err end
  return response.whole(raw, body)
end

--- Signs in now instead of with the first request: a user is asked before work begins, and what is wrong is said once.
--- Nothing happens when there is a good token.
---@return true? ok
---@return msgraph.Error?
function Client:sign_in()
  if self.closed then return nil, errors.from_failure(CLOSED) end
  local failure = self.guard and self.guard.ready(self.origin)
  if not failure and self.signs_in then failure = select(2, loop.sign_in(self.signs_in, "token")) end
  if failure then return nil, errors.from_failure(failure, nil, self.login, self.opened.consent_url) end
  return true
end

--- Who it signs in as, and with what, for people to see. Signs in where that has not been done.
---@return msgraph.Who?
---@return msgraph.Error?
function Client:whoami()
  local ok, err = self:sign_in()
  if not ok then return nil, err end
  return require("msgraph.auth.who").of(self.opened)
end

Client.read = response.read ---@package
Client.remove_all_devices = devices.remove_all_devices

-- ---- life ---------------------------------------------------------------------------------------

--- Requests under way end as cancelled; the token is forgotten with the credential. Twice is as good
--- as once. A client that is left to the collector ends as well, at the loop's next rest.
function Client:close()
  if self.closed then return end
  self.closed = true
  self.origin:close()
  loop.close(self)
  if self.trace then self.trace:close() end
end

Client.__close = Client.close

function Client:__tostring()
  return ("msgraph.Client(%s%s)"):format(self.endpoint, self.closed and ", closed" or "")
end

host.install(Client)

-- Not every program needs these: their modules are loaded when one of them is first called.
local function later(names, load)
  for _, name in ipairs(names) do
    Client[name] = function(...)
      load()
      return Client[name](...)
    end
  end
end

later({ "items", "pages", "delta", "list" }, function()
  require("msgraph.paging").install(Client, requests.CALL, requests.build)
end)
later({ "user", "group", "application", "service_principal", "directory_role", "device", "managed_device", "deleted",
  "team", "drive", "tenant" }, function() require("msgraph.resources").install(Client) end)
later({ "batch" }, function() Client.batch = require("msgraph.batch").batch end)
later({ "check" }, function() Client.check = require("msgraph.check").run end)

-- What stands around its requests: nothing, and not loaded either, where nobody asked.
local function open_trace(settings)
  if not settings.log and not settings.capture and not settings.traceparent then return nil end
  return require("msgraph.trace").open(settings)
end

--- Makes a client. Nothing is sent yet.
---@param opts? msgraph.ConnectOpts
---@return msgraph.Client?
---@return msgraph.Error? raises for a wrong option
function M.connect(opts)
  local settings, err = config.resolve(opts)
  if not settings then return nil, err end
  local opened
  opened, err = auth.open(settings.auth, settings.identity)
  if not opened then return nil, err end
  settings.credential = opened.core
  local origin, failure = core.origin(settings)
  if not origin then return nil, errors.from_failure(failure) end
  local tracing, reason = open_trace(settings)
  if reason then return nil, errors.new { kind = "invalid", code = "capture", message = reason } end
  local login = opened.login ~= settings.endpoint:match("^%a+://([^/:]+)") and opened.login or nil
  local client = setmetatable({
    origin = origin, endpoint = settings.endpoint, login = login, guard = opened.guard,
    signs_in = opened.login and opened.core, opened = opened,
    trace = tracing, dispatch = tracing and tracing:around(loop.exchange) or loop.exchange,
  }, Client)
  local ok
  ok, failure = loop.open(client)
  if not ok then return nil, errors.from_failure(failure) end
  return client
end

M.Client = Client

return M
