-- luacheck reads this: Lua 5.4 and nothing global beside it.
std = "lua54"
max_line_length = 120

-- 581: `not (a >= b)` is not `a < b` for NaN, and that is why it is written so
ignore = { "581" }

files["spec"].std = "+busted"
-- annotations describe the C module: nothing there is used, and no function has a body
files["docs/types"] = { ignore = { "21.", "241" }, max_line_length = false }
