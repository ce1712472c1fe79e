local cli = require "msgraph.cli"
local errors = require "msgraph.cli.errors"
local graph_errors = require "msgraph.errors"
local recap = require "msgraph.cli.recap"

local function err(fields)
  fields.message = "m"
  fields.code = fields.code or "c"
  fields.method = fields.method or "POST"
  fields.path = "/v1.0/x"
  return graph_errors.new(fields)
end

describe("an error of a request that changes something", function()
  for _, case in ipairs {
    { "no answer",                  { kind = "ambiguous", phase = "sent" },                        true },
    { "500",                        { kind = "server", status = 500 },                             true },
    { "503 without a time",         { kind = "server", status = 503 },                             true },
    { "503 with Retry-After",       { kind = "server", status = 503, retry_after = 2 },            false },
    { "a portal's page",            { kind = "protocol", code = "html_page" },                     true },
    { "a redirect",                 { kind = "protocol", code = "redirect" },                      false },
    { "cancelled under way",        { kind = "cancelled", phase = "sent" },                        true },
    { "cancelled before",           { kind = "cancelled", phase = "not_sent" },                    false },
    { "429",                        { kind = "throttled", status = 429 },                          false },
    { "404",                        { kind = "not_found", status = 404 },                          false },
    { "a name that is not there",   { kind = "network", code = "dns", phase = "not_sent" },        false },
    { "500 to the read before it",  { kind = "server", status = 500, method = "GET" },             false },
  } do
    it(("is %s: %s"):format(case[3] and "unknown" or "a failure", case[1]), function()
      assert.equal(case[3], errors.is_unknown(err(case[2])))
      assert.equal(case[3] and "unknown" or "failed", recap.judge(nil, err(case[2])))
    end)
  end
end)

describe("the exit code of a run", function()
  local FORBIDDEN = err { kind = "forbidden", status = 403 }
  local MISSING = err { kind = "not_found", status = 404 }

  local function exit(items, more)
    local run = more or {}
    run.items = items
    return cli.EXITS[recap.outcome(run)][1]
  end

  for _, case in ipairs {
    { "all accepted",                     { { state = "queued" }, { state = "gone" } },                       0 },
    { "one failed",                       { { state = "queued" }, { state = "failed", err = MISSING } },      20 },
    { "one unknown",                      { { state = "queued" }, { state = "unknown" } },                    21 },
    { "one unknown, one failed",          { { state = "unknown" }, { state = "failed", err = MISSING } },     21 },
    { "devices left when wait was over",  { { state = "unfinished" } },                                       21 },
    { "all forbidden",                    { { state = "failed", err = FORBIDDEN } },                          30 },
    { "one of two forbidden",             { { state = "queued" }, { state = "failed", err = FORBIDDEN } },    20 },
    { "stopped by a refusal",  { { state = "queued" }, { state = "not_sent" } }, 30, { refused = true } },
    { "interrupted",           { { state = "queued" }, { state = "not_sent" } }, 130, { interrupted = true } },
    { "results lost",          { { state = "queued" } },                         75, { output_lost = {} } },
  } do
    it(("is %d: %s"):format(case[3], case[1]), function() assert.equal(case[3], exit(case[2], case[4])) end)
  end

  it("is its own for every outcome", function()
    local seen = {}
    for name, exit_of in pairs(cli.EXITS) do
      assert.is_nil(seen[exit_of[1]], name)
      seen[exit_of[1]] = name
    end
    assert.equal("done", seen[0])
  end)
end)
