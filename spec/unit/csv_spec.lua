local csv = require "msgraph.csv"

local function rows(text)
  local records = assert(csv.parse(text))
  local out = {}
  for i, record in ipairs(records) do out[i] = table.concat(record, "|") end
  return out
end

describe("csv", function()
  for _, case in ipairs {
    { "commas",                    "a,b\n1,2\n",                        { "a|b", "1|2" } },
    { "semicolons",                "a;b\n1,5;2\n",                      { "a|b", "1,5|2" } },
    { "tabs",                      "a\tb\n1\t2\n",                      { "a|b", "1|2" } },
    { "no last line end",          "a\nb",                              { "a", "b" } },
    { "CRLF",                      "a,b\r\n1,2\r\n",                    { "a|b", "1|2" } },
    { "old Mac line ends",         "a\rb\r",                            { "a", "b" } },
    { "a byte order mark",         "\xEF\xBB\xBFa,b\n1,2\n",            { "a|b", "1|2" } },
    { "blank lines",               "\n\na\n \n,\nb\n\n",                { "a", "b" } },
    { "spaces around a field",     " a , b \n",                         { "a|b" } },
    { "quotes with a separator",   '"Lovelace, Ada",x\n',               { "Lovelace, Ada|x" } },
    { "quotes doubled",            '"say ""ada""",x\n',                 { 'say "ada"|x' } },
    { "a line end in quotes",      '"two\nlines",x\nnext,y\n',          { "two\nlines|x", "next|y" } },
    { "an empty quoted field",     '"",x\n',                            { "|x" } },
    { "what PowerShell writes",    '#TYPE User\r\n"id";"mail"\r\n"1";"a"\r\n', { "id|mail", "1|a" } },
    { "comments with a quote",     'a\n# it is "x, "\nb\n',             { "a", "b" } },
    { "nothing",                   "",                                  {} },
  } do
    it("reads " .. case[1], function() assert.same(case[3], rows(case[2])) end)
  end

  it("numbers records by the line they begin at", function()
    local records = csv.parse('a\n\n# no\n"x\ny"\r\nb\n')
    assert.same({ 1, 4, 6 }, { records[1].line, records[2].line, records[3].line })
  end)

  for _, case in ipairs {
    { "an open quote",          'a,b\nc,"d\n',      "^line 2: a quote is not closed" },
    { "text after a quote",     '"a"b,c\n',         "^line 1: a quoted field goes on" },
    { "UTF-16",                 "\xFF\xFEa\0b\0",   "UTF%-8" },
  } do
    it("refuses " .. case[1], function()
      local records, reason = csv.parse(case[2])
      assert.is_nil(records)
      assert.matches(case[3], reason)
    end)
  end
end)
