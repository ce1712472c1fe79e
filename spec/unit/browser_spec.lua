--- Which browser is opened, and that the URL reaches it whole.
local browser = require "msgraph.browser"
local core = require "msgraph.core"
local helper = require "spec.support.helper"

local URL = "https://login.example/authorize?a=b&c=%20$(id)'\";`ls`*"

-- A folder of pretended browsers: each writes its name and arguments down, a line each.
local folder = helper.tmp() .. "/browsers"
local log = folder .. "/log"

local function install(...)
  helper.sh("rm -rf " .. folder .. " && mkdir " .. folder)
  for _, name in ipairs { ... } do
    local path = folder .. "/" .. name
    helper.write_file(path, ("#!/bin/sh\nlog=%s\nprintf '%%s\\n' %s \"$@\" >$log.new && mv $log.new $log\n")
      :format(log, name))
    helper.sh("chmod +x " .. path)
  end
end

local function env(values)
  return function(name)
    if name == "PATH" and not values.PATH then return folder .. ":/nowhere" end
    return values[name]
  end
end

-- What was opened; the browser is on its own, so it may take a moment.
local function opened()
  for _ = 1, 500 do
    local file = io.open(log, "r")
    if file then
      local text = file:read "a"
      file:close()
      return text
    end
    helper.sh "sleep 0.01"
  end
end

describe("a browser", function()
  for _, case in ipairs {
    { "is xdg-open where there is a screen", { "xdg-open" }, { DISPLAY = ":0" }, "xdg-open" },
    { "is xdg-open with Wayland", { "xdg-open" }, { WAYLAND_DISPLAY = "w" }, "xdg-open" },
    { "is what BROWSER names", { "lynx", "xdg-open" }, { DISPLAY = ":0", BROWSER = "lynx" }, "lynx" },
    { "is the first of BROWSER that is installed", { "two" }, { BROWSER = "one:two" }, "two" },
    { "may be named by its path", { "one" }, { BROWSER = folder .. "/one" }, "one" },
    { "is Windows's in its Linux", { "wslview", "xdg-open" }, { DISPLAY = ":0", WSL_DISTRO_NAME = "D" }, "wslview" },
    { "is the desktop's where BROWSER is not there", { "xdg-open" }, { DISPLAY = ":0", BROWSER = "gone" }, "xdg-open" },
  } do
    it(case[1], function()
      install(table.unpack(case[2]))
      local getenv = env(case[3])
      assert.is_true(browser.available(getenv))
      assert.is_true(browser.open(URL, getenv))
      assert.equal(case[4] .. "\n" .. URL .. "\n", opened())
    end)
  end

  for _, case in ipairs {
    { "is not there without a screen",      { "xdg-open" }, {} },
    { "is not there with an empty DISPLAY", { "xdg-open" }, { DISPLAY = "", BROWSER = "" } },
    { "is not there when not installed",    {},             { DISPLAY = ":0", BROWSER = "one: " } },
    { "is not there without a PATH",        { "xdg-open" }, { DISPLAY = ":0", PATH = "" } },
  } do
    it(case[1], function()
      install(table.unpack(case[2]))
      assert.is_false(browser.available(env(case[3])))
      assert.is_false(browser.open(URL, env(case[3])))
    end)
  end

  it("gets the URL where BROWSER wants it", function()
    install "one"
    assert.is_true(browser.open(URL, env { BROWSER = "one --new --url=%s -x" }))
    assert.equal("one\n--new\n--url=" .. URL .. "\n-x\n", opened())
  end)

  it("is left alone once it runs, and leaves no child of ours", function()
    install()
    local pid_file = folder .. "/pid"
    helper.write_file(folder .. "/slow", ("#!/bin/sh\necho $$ >%s.new; mv %s.new %s; exec sleep 60\n")
      :format(pid_file, pid_file, pid_file))
    helper.sh("chmod +x " .. folder .. "/slow")
    assert.is_true(browser.open(URL, env { BROWSER = "slow" }))
    helper.sh("until [ -e " .. pid_file .. " ]; do sleep 0.01; done")
    collectgarbage()
    local pid = helper.read_file(pid_file):match "%d+"
    local stat = helper.read_file("/proc/" .. pid .. "/stat")
    local us = helper.read_file("/proc/self/stat"):match "^%d+"
    helper.sh("kill " .. pid)
    assert.not_equal(us, stat:match("%) %S (%d+)"))
  end)

  it("opens nothing but a URL", function()
    for _, url in ipairs { "--help", "file:///etc/passwd", "" } do
      assert.has_error(function() browser.open(url) end, "bad argument #1 to 'open' (a URL expected)")
    end
    assert.has_error(function() browser.open(nil) end)
  end)
end)

describe("core.child", function()
  local function finish(child)
    for _ = 1, 1000 do
      local state, status = child:step()
      if state ~= "running" then return state, status end
      helper.sh "sleep 0.005"
    end
  end

  it("tells what a program printed and how it ended", function()
    local child <close> = assert(core.child { "sh", "-c", "echo out; echo err >&2; exit 7" })
    assert.same({ "ended", 7 }, { finish(child) })
    assert.same({ "out\n", "err\n" }, { child:output(), child:stderr() })
    assert.same({ "ended", 7 }, { child:step() })
  end)

  it("hands a secret over where no process list shows it", function()
    local secret = "pass word\0\255"
    local show = "cat; cat /proc/$$/cmdline /proc/$$/environ >&2"
    local child <close> = assert(core.child { "sh", "-c", show, input = secret })
    assert.same({ "ended", 0 }, { finish(child) })
    assert.equal(secret, child:output())
    assert.is_nil(child:stderr():find("pass word", 1, true))
  end)

  it("names a program that is not there", function()
    local child, failure = core.child { "no-such-program" }
    assert.is_nil(child)
    assert.same({ "program", "invalid", "another program could not be run: there is no no-such-program here" },
      { failure.code, failure.kind, failure.message })
  end)

  it("stops a program that prints without end", function()
    local child <close> = assert(core.child { "yes" })
    local state, failure = finish(child)
    assert.is_nil(state)
    assert.equal("body_too_large", failure.code)
  end)

  it("leaves neither program nor zombie when it is closed", function()
    local child = assert(core.child { "sh", "-c", "echo $$; sleep 60" })
    while child:output() == "" do assert.equal("running", child:step()) end
    local proc = "/proc/" .. child:output():match "%d+" .. "/stat"
    assert.is_truthy(io.open(proc)):close()
    child:close()
    assert.is_nil(io.open(proc))
    child:close()
    assert.has_error(function() child:step() end)
  end)

  it("raises for what can be no argument", function()
    for _, words in ipairs { {}, { 5 }, { "a", {} }, { "a\0b" }, { "a", input = 5 }, { "a", nil, "b" } } do
      assert.has_error(function() core.child(words) end)
    end
    assert.has_error(function() core.child() end)
  end)
end)
