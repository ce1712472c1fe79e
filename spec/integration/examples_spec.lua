local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sim = require "msgraph.sim"

local LUA = arg and arg[-1] or "lua5.4"
local ADA, NOBODY = "ada@contoso.com", "nobody@contoso.com"

local function example(name, env, ...)
  return program.run({ LUA, helper.ROOT .. "examples/" .. name, ... }, env)
end

local function posts(tenant)
  return tenant:requests { method = "POST" }
end

local function exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

describe("examples/first_call.lua", function()
  it("takes a user's devices out of management", function()
    local tenant <close> = assert(sim.start { speed = 0 })
    local ran = example("first_call.lua", program.env_of(tenant), ADA)
    assert.equal(0, ran.code)
    assert.equal("accepted: the devices of ada@contoso.com retire when they next check in\n", ran.out)
    assert.equal(5, #posts(tenant)[1].actions)
  end)

  it("says in a line what went wrong", function()
    local tenant <close> = assert(sim.start { speed = 0 })
    local ran = example("first_call.lua", program.env_of(tenant), NOBODY)
    assert.same({ 1, "" }, { ran.code, ran.out })
    assert.matches("^not_found: [^\n]*request%-id [^\n]*\n$", ran.err)
  end)
end)

describe("examples/offboard_list.lua", function()
  local function offboard(tenant, text, env)
    local list, result = helper.tmp() .. "/leavers.csv", helper.tmp() .. "/result.csv"
    os.remove(result)
    helper.write_file(list, text)
    local ran = example("offboard_list.lua", env or program.env_of(tenant), list, result)
    ran.result = exists(result) and helper.read_file(result)
    assert.is_false(exists(result .. ".part"))
    return ran
  end

  it("has a line for every leaver, whatever happens to the others", function()
    local tenant <close> = assert(sim.start { speed = 0 })
    tenant:fault { kind = "reset_after", path = "conan" }
    local ran = offboard(tenant, '\xEF\xBB\xBFdisplayName,userPrincipalName\r\n"Lovelace, Ada",ada@contoso.com\r\n'
      .. "Conan,conan.o'brien@contoso.com\r\nNobody,nobody@contoso.com\r\n"
      .. "Lin,lin_example.com#EXT#@contoso.onmicrosoft.com\r\nMe,me\r\n")
    assert.equal(1, ran.code)
    for _, line in ipairs {
      '"userPrincipalName","state","requestId","message"', '"ada@contoso.com","accepted","",""',
      '"lin_example.com#EXT#@contoso.onmicrosoft.com","accepted","",""', '"conan.o\'brien@contoso.com","unknown","',
      '"nobody@contoso.com","failed","', '"me","refused",""',
    } do assert.matches(line, ran.result, 1, true) end
    assert.equal(6, select(2, ran.result:gsub("\n", "")))
    assert.matches("2 of 5 accepted", ran.out)
    assert.equal(4, #posts(tenant))
  end)

  it("ends with 0 when all were accepted", function()
    local tenant <close> = assert(sim.start { speed = 0, users = 200 })
    local users = { "userPrincipalName" }
    for _, user in ipairs(tenant:users()) do users[#users + 1] = user.userPrincipalName end
    local ran = offboard(tenant, table.concat(users, "\n"))
    assert.equal(0, ran.code)
    assert.equal(200, #posts(tenant))
    assert.equal(201, select(2, ran.result:gsub("\n", "")))
  end)

  it("sends nothing for a list without the column, or without a token", function()
    local tenant <close> = assert(sim.start { speed = 0 })
    local ran = offboard(tenant, "name\nAda\n")
    assert.same({ 2, false }, { ran.code, ran.result })
    assert.matches("no column userPrincipalName", ran.err)
    ran = offboard(tenant, "userPrincipalName\nada@contoso.com\n", {})
    assert.same({ 2, false }, { ran.code, ran.result })
    assert.matches("there is nothing to sign in with (environment: ", ran.err, 1, true)
    assert.equal(0, #tenant:requests())
  end)
end)

describe("examples/demo.lua", function()
  it("plans, applies, is killed, resumes and verifies", function()
    local ran = example("demo.lua")
    assert.equal(0, ran.code, ran.err)
    assert.matches("Z contain %d+/%d+, ", ran.err)
    assert.matches("nobody is at work on it", ran.out)
    assert.matches("changed=%d+ unchanged=%d+ verified=%d+ submitted=[1-9]%d* .-failed=0", ran.out)
    assert.matches("asked to retire, 0 of them twice", ran.out)
  end)
end)

-- The commands of a section of the README, a text for a shell.
local function commands_of(title)
  local text = helper.read_file(helper.ROOT .. "README.md")
  local section = text:match("\n## " .. title .. "\n(.-)\n## ")
  local blocks = {}
  for block in section:gmatch "\n```sh\n(.-)\n```" do blocks[#blocks + 1] = block end
  return blocks
end

describe("README.md", function()
  it("leads to a run that is planned, applied, killed and resumed, with commands that work when pasted", function()
    local folder = helper.tmp() .. "/readme"
    local root = helper.quote(helper.sh("cd " .. helper.quote(helper.ROOT) .. " && pwd"):match "[^\n]+")
    helper.sh(("mkdir %s && ln -s %s/examples %s"):format(folder, root, folder))
    local here = ("PATH=%s/bin:$PATH; cd %s; "):format(root, folder)
    local first = commands_of "A leaver run in ten minutes"
    local serve = first[1]:match "\n(msgraph sim [^\n]*)"
    local rest = table.concat(first, "\n", 2)
    assert.truthy(rest:find('eval "$(make -s env)" && ', 1, true)) -- which the spec's own environment stands for
    rest = rest:gsub('eval "%$%(make %-s env%)" && ', ""):gsub("| less", ""):gsub("sleep %d+", "sleep 1")

    local running <close> = program.start { "sh", "-c", here .. "exec " .. serve:gsub("%-%-faults slow ", "") }
    program.await(function() return helper.sh("cat " .. folder .. "/tenant.env 2>/dev/null; true"):find "TOKEN" end)
    assert.truthy(running)
    local ran = program.shell(here .. rest)
    assert.equal(0, ran.code, ran.err) -- of report, the last
    assert.is_nil(ran.err:find("msgraph: ", 1, true), ran.err)
    assert.matches("Grace Hopper approves friday.plan", ran.out)
    assert.matches("\nrun %x+, ", ran.out)
    assert.matches("\nchanged=%d+ .*\nwritten: friday%-results.csv\n", ran.out)
  end)
end)
