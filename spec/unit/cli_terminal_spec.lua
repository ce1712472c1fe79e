local helper = require "spec.support.helper"
local shell = require "msgraph.cli.shell"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

describe("colour", function()
  for _, case in ipairs {
    { "on a terminal",                      {},                                     true,  true },
    { "not in a file",                      {},                                     false, false },
    { "not on a dumb terminal",             { TERM = "dumb" },                      true,  false },
    { "not with NO_COLOR",                  { NO_COLOR = "1" },                     true,  false },
    { "with an empty NO_COLOR",             { NO_COLOR = "" },                      true,  true },
    { "in a file with CLICOLOR_FORCE",      { CLICOLOR_FORCE = "1" },               false, true },
    { "not in a file with CLICOLOR_FORCE=0", { CLICOLOR_FORCE = "0" },              false, false },
    { "not with both: NO_COLOR wins",       { CLICOLOR_FORCE = "1", NO_COLOR = "1" }, true, false },
  } do
    it("is used " .. case[1]:gsub("^not ", "never "), function()
      assert.equal(case[4], terminal.wants_colour(function(name) return case[2][name] end, case[3]))
    end)
  end
end)

describe("text for people", function()
  it("holds no control characters of others", function()
    assert.equal("Ada's ?[31mphone?? ö", terminal.clean("Ada's \27[31mphone\n\xC2\x9B ö"))
  end)

  it("holds nothing that looks like a token", function()
    local text = terminal.scrub("it said Bearer " .. helper.TOKEN .. " and went on")
    assert.is_true(helper.silent(text))
    assert.matches("%*%*%* and went on", text)
  end)

  it("is aligned by characters, not by bytes", function()
    assert.equal("Ayşe  x\nAdam  y\n", table_of.format { { "Ayşe", "x" }, { "Adam", "y" } })
    assert.equal("  a  b\n  c\n", table_of.format({ { "a", "b" }, { "c", "" } }, "  "))
  end)
end)

describe("a word for the shell", function()
  for _, word in ipairs {
    "ada@contoso.com", "conan.o'brien@x.com", "a b", "", "$HOME", "x#EXT#@y", "`id`", "a\\b", "*",
  } do
    it(("comes back as it was: %q"):format(word), function()
      assert.equal(word .. "|", helper.sh("printf '%s|' " .. shell.quote(word)))
    end)
  end
end)
