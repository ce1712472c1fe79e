--- PowerShell's tokens, as far as our scripts use them; whatever they do not use is an error.
--
-- Strict on purpose: a double quote, a backtick, an expression in a text, a here-string or a quote that is not closed
-- is refused, so that what comes through has its data in literals alone.
local M = {}

-- PowerShell takes these for a single quote, all of them alike.
local QUOTES = { ["'"] = true, ["\u{2018}"] = true, ["\u{2019}"] = true, ["\u{201A}"] = true, ["\u{201B}"] = true }
local CLOSES = { [")"] = "(", ["}"] = "{", ["]"] = "[" }

local function chars_of(text)
  local chars = {}
  for _, code in utf8.codes(text) do chars[#chars + 1] = utf8.char(code) end
  return chars
end

-- The text of the literal whose quote stands at `at`, and where it goes on after it.
local function literal(chars, at)
  local out = {}
  at = at + 1
  while chars[at] do
    if QUOTES[chars[at]] then
      if not QUOTES[chars[at + 1]] then return table.concat(out), at + 1 end
      at = at + 1
    end
    assert(chars[at] ~= "\n", "a literal goes on in the next line")
    out[#out + 1] = chars[at]
    at = at + 1
  end
  error("a quote is not closed")
end

--- Reads a script; raises what is wrong with it.
---@param script string
---@return string code the script with '' for each literal, without comments
---@return string[] literals their texts, in order
function M.parse(script)
  local chars = chars_of(script)
  local code, literals, open, at = {}, {}, {}, chars[1] == "\u{FEFF}" and 2 or 1
  while chars[at] do
    local c = chars[at]
    if QUOTES[c] then
      literals[#literals + 1], at = literal(chars, at)
      code[#code + 1] = "''"
    elseif c == "#" then
      while chars[at] and chars[at] ~= "\n" do at = at + 1 end
    else
      assert(c:find "^[%w%s%p]$" and not c:find '^["`]$', ("%q outside of a literal"):format(c))
      if c:find "[({%[]" then open[#open + 1] = c end
      if CLOSES[c] then assert(table.remove(open) == CLOSES[c], c .. " closes nothing") end
      code[#code + 1], at = c, at + 1
    end
  end
  assert(#open == 0, "a bracket is not closed")
  return table.concat(code), literals
end

return M
