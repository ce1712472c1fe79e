-- lua/msgraph/sim/routes/batch.lua - POST /$batch: many requests in one.
--
-- Rules of FACTS 5: at most twenty; unique ids; a dependency graph of one of three shapes; whatever breaks a
-- rule spoils the batch as a whole. Parts that run side by side run in an order of the seed's choice, and
-- answers come in another: whoever relies on either shall notice.
local base64 = require "msgraph.sim.login.base64"
local cjson = require("cjson").new()
local json = require "msgraph.sim.json"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

local MOST <const> = 20
local KIND_OF_STREAM <const> = 40
local METHODS = { GET = true, POST = true, PATCH = true, PUT = true, DELETE = true }
local HAS_BODY = { POST = true, PATCH = true, PUT = true }

---@class msgraph.sim.Part
---@field id string
---@field method string
---@field url string
---@field headers table<string, string> names in lower case
---@field body? any
---@field parent? msgraph.sim.Part the one it depends on

-- ---- what is refused as a whole -----------------------------------------------------------------

local function is_text(value)
  return type(value) == "string" and value ~= ""
end

local function lower_names(headers)
  if headers == nil or headers == cjson.null then return {} end
  if type(headers) ~= "table" then return nil end
  local out = {}
  for name, value in pairs(headers) do
    if type(name) ~= "string" or type(value) ~= "string" then return nil end
    out[name:lower()] = value
  end
  return out
end

local function present(value)
  if value ~= cjson.null then return value end
end

--- A part, and why there is none.
local function read_part(request)
  if type(request) ~= "table" then return nil, "a request is no object" end
  local headers, body = lower_names(request.headers), present(request.body)
  if not is_text(request.id) then return nil, "a request has no id" end
  if not is_text(request.method) or not METHODS[request.method:upper()] then
    return nil, "Request " .. request.id .. " has no method that is allowed"
  end
  if not is_text(request.url) or request.url:find "^%a[%w+.-]*://" then
    return nil, "Request " .. request.id .. " has no relative url"
  end
  if request.url:lower():find "^/?%$batch" then return nil, "A batch request cannot contain a batch request" end
  if not headers then return nil, "Request " .. request.id .. " has headers that are no texts" end
  if body ~= nil and not headers["content-type"] then
    return nil, "Request " .. request.id .. " has a body and no Content-Type header"
  end
  return { id = request.id, method = request.method:upper(), url = request.url:gsub("^/?", "/", 1),
    headers = headers, body = body, depends_on = present(request.dependsOn) }
end

local function read_parts(list)
  local parts, by_id = {}, {}
  for i, request in ipairs(list) do
    local part, reason = read_part(request)
    if not part then return nil, reason end
    local key = part.id:lower()
    if by_id[key] then return nil, "Request id '" .. part.id .. "' is not unique" end
    parts[i], by_id[key] = part, part
  end
  return parts, by_id
end

--- Sets the parents; why not.
local function connect(parts, by_id)
  for _, part in ipairs(parts) do
    local names = part.depends_on
    if names ~= nil and (type(names) ~= "table" or #names ~= 1 and next(names) ~= nil) then
      return "Batch should be either fully sequential or fully parallel."
    end
    if names and names[1] then
      part.parent = by_id[tostring(names[1]):lower()]
      if not part.parent or part.parent == part then
        return "Request " .. part.id .. " depends on a request that is not there"
      end
    end
  end
end

--- "parallel", "serial" (each on the one before), "same" (whoever depends, on the same one), or nil.
local function shape_of(parts)
  local depending, serial, same, root = 0, true, true, nil
  for i, part in ipairs(parts) do
    if part.parent then
      depending = depending + 1
      root = root or part.parent
      same = same and part.parent == root
    end
    serial = serial and part.parent == parts[i - 1]
  end
  if depending == 0 then return "parallel" end
  if serial then return "serial" end
  return same and not root.parent and "same" or nil, root
end

-- ---- parts run ----------------------------------------------------------------------------------

local function shuffled(list, stream)
  local out = table.move(list, 1, #list, 1, {})
  for i = #out, 2, -1 do
    local j = stream:int(1, i)
    out[i], out[j] = out[j], out[i]
  end
  return out
end

local function run_order(parts, shape, root, stream)
  if shape == "serial" then return parts end
  if shape == "parallel" then return shuffled(parts, stream) end
  local order = { root }
  for _, part in ipairs(parts) do
    if part ~= root then order[#order + 1] = part end
  end
  return order
end

local function body_of(part)
  if part.body == nil then return "" end
  if part.headers["content-type"]:lower():find("json", 1, true) then return cjson.encode(part.body) end
  return base64.decode(part.body)
end

local function failed_dependency(ctx)
  return reply.error(ctx, 424, "FailedDependency", "A request that this one depends on has failed.")
end

--- Answers a part; an answer that is reset gets lost.
local function run(ctx, part)
  local parent = part.parent
  if parent and not (parent.status and parent.status < 300) then return failed_dependency(ctx) end
  if HAS_BODY[part.method] and part.body == nil then
    return reply.bad_request(ctx, "Write request " .. part.id .. " does not contain Content-Type header or body.")
  end
  local body = body_of(part)
  if not body then return reply.bad_request(ctx, "The body of request " .. part.id .. " is not base64") end
  local headers = { authorization = ctx.headers.authorization, host = ctx.headers.host,
    ["content-length"] = tostring(#body) }
  for name, value in pairs(part.headers) do headers[name] = value end
  local target = ctx.path:match "^/[^/]+" .. part.url
  return ctx.part { method = part.method, target = target, headers = headers, body = body }
end

local NOT_SHOWN = { Date = true, ["x-ms-ags-diagnostic"] = true }

local function write_answer(part, answer)
  local headers = {}
  for name, value in pairs(answer.headers) do
    if not NOT_SHOWN[name] then headers[name] = value end
  end
  local body, is_json = answer.body, (answer.headers["Content-Type"] or ""):find("json", 1, true)
  if body ~= "" then body = ',"body":' .. (is_json and body or json.encode(base64.encode(body))) end
  return ('{"id":%s,"status":%d,"headers":%s%s}')
    :format(json.encode(part.id), answer.status, json.encode(headers), body)
end

local function serve(ctx, parts, shape, root)
  local stream = random.stream(ctx.seed, KIND_OF_STREAM, ctx.n)
  local answers, delay = {}, 0
  for _, part in ipairs(run_order(parts, shape, root, stream)) do
    local answer = run(ctx, part)
    if not answer.reset then
      part.status = answer.status
      answers[#answers + 1] = write_answer(part, answer)
    end
    local own = answer.delay_ms or 0
    delay = shape == "parallel" and math.max(delay, own) or delay + own
  end
  local answer = reply.text(200, "application/json",
    '{"responses":[' .. table.concat(shuffled(answers, stream), ",") .. "]}")
  answer.delay_ms = delay
  return answer
end

local function batch(ctx)
  local ok, document = pcall(cjson.decode, ctx.body)
  local list = ok and type(document) == "table" and document.requests
  if type(list) ~= "table" or #list == 0 then return reply.bad_request(ctx, "Invalid batch payload format.") end
  if #list > MOST then
    return reply.error(ctx, 400, "MaximumValueExceeded",
      "Number of batch request steps exceeds the maximum value of 20.")
  end
  local parts, by_id = read_parts(list)
  if not parts then return reply.bad_request(ctx, by_id .. ".") end
  local reason = connect(parts, by_id)
  if reason then return reply.bad_request(ctx, reason) end
  local shape, root = shape_of(parts)
  if not shape then return reply.bad_request(ctx, "Batch should be either fully sequential or fully parallel.") end
  return serve(ctx, parts, shape, root)
end

M.routes = {
  { "POST", "$batch", service = "directory", run = batch }, -- each part needs its own permission
}

return M
