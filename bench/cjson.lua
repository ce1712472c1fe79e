-- bench/cjson.lua FILE CALLS - what lua-cjson alone takes to decode the answers to so many calls in batches of twenty.
--
-- FILE holds one such answer. Prints one line of name=value, as bench/post.lua does.
local cjson = require "cjson"

local file <close> = assert(io.open(arg[1]))
local answer, calls = file:read "a", math.tointeger(arg[2])
for _ = 1, 100 do cjson.decode(answer) end
local cpu = os.clock()
for _ = 1, calls // 20 do cjson.decode(answer) end
print(("requests=%d cpu_s=%.6f"):format(calls, os.clock() - cpu))
