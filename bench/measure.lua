-- bench/measure.lua HERE DIR PORT QUICK - runs the contestants in turns and prints what came out; bench/run calls it.
--
-- HERE is the folder of this file, DIR holds ca.pem and token, PORT serves HTTP/1.1, PORT + 1 HTTP/2.
-- The programs and Lua come from the environment (BENCH, LUA), as does ROUNDS.
--
-- Everybody runs once a round, in an order that turns from round to round: what the machine does meanwhile
-- hits all alike. A number printed is the median of its rounds, a ratio the median of the rounds' own ratios.
local core = require "msgraph.core"

local here, dir, port, quick = arg[1], arg[2], math.tointeger(arg[3]), arg[4] == "yes"
local rounds = math.tointeger(os.getenv "ROUNDS" or (quick and 3 or 9)) or error("ROUNDS must be a whole number", 0)
local bench, lua = os.getenv "BENCH", os.getenv "LUA"

local IN_FLIGHT = quick and { 1, 64 } or { 1, 16, 64, 256 }
local STARTS = quick and 10 or 30
local QUEUED = 10000
local PAGES, ITEMS = quick and 20 or 100, 999
local BAR = { cpu = 1.15, throughput = 0.9, start = 1.0, memory = 32, batch = 1.0 } -- DESIGN 5
local PATH = "/v1.0/users/ada@contoso.com/removeAllDevicesFromManagement"
local UUID = "3f0d9a4e-8a5b-4d4e-9a3e-0a1b2c3d4e5f"

local plain, pages, stopwatch = bench .. "/plain", bench .. "/pages", bench .. "/stopwatch"
local post, first, list = here .. "/post.lua", here .. "/first.lua", here .. "/list.lua"
local ca, token = dir .. "/ca.pem", dir .. "/token"
local missed, judged = 0, 0

-- ---- numbers ------------------------------------------------------------------------------------

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  if #sorted % 2 == 1 then return sorted[middle + 1], sorted[1], sorted[#sorted] end
  return (sorted[middle] + sorted[middle + 1]) / 2, sorted[1], sorted[#sorted]
end

local function column(runs, value)
  local values = {}
  for i, run in ipairs(runs) do values[i] = value(run) end
  return values
end

-- Median, least and most of a round's own ratios.
local function ratio(over, under, value)
  local ratios = {}
  for i = 1, #over do ratios[i] = value(over[i]) / value(under[i]) end
  return median(ratios)
end

local function verdict(met)
  judged = judged + 1
  if met then return "met" end
  missed = missed + 1
  return "MISSED"
end

local function per_second(run) return run.requests / run.wall_s end
local function cpu_us(run) return run.cpu_s / run.requests * 1e6 end
local function above_idle_mib(run) return (run.peak_kib - run.idle_kib) / 1024 end
local function wall_ms(run) return run.process_wall_s * 1e3 end

-- ---- commands -----------------------------------------------------------------------------------

local function quote(text) return "'" .. tostring(text):gsub("'", [['\'']]) .. "'" end

local function command(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = quote(word) end
  return table.concat(words, " ")
end

local function output(line)
  local pipe = assert(io.popen(line))
  local text = pipe:read "a"
  return text, pipe:close()
end

local function has(program) return (select(2, output("command -v " .. program .. " >/dev/null 2>&1"))) end

local function read_numbers(text)
  local numbers = {}
  for name, value in text:gmatch "([%w_]+)=([%d.]+)" do numbers[name] = tonumber(value) end
  return numbers
end

-- Runs a client on its core and reads the numbers it prints. One failed call and nothing counts.
local function run(line, prefix)
  local text, ok = output((prefix or "") .. "taskset -c 1 " .. line)
  if not ok then error(("bench: this failed, so nothing can be said: %s\n%s"):format(line, text), 0) end
  return read_numbers(text)
end

-- Runs the named functions in turns, `times` rounds; results by name, a list each.
local function in_turns(times, names, contestants)
  local results = {}
  for _, name in ipairs(names) do results[name] = {} end
  for round = 1, times do
    for i = 1, #names do
      local name = names[(i + round) % #names + 1]
      table.insert(results[name], contestants[name](round))
    end
  end
  return results
end

-- ---- what is measured on ------------------------------------------------------------------------

local function line_of(text) return text:match "[^\n]*" end

local function print_machine()
  local cpuinfo <close> = assert(io.open "/proc/cpuinfo")
  local model = cpuinfo:read("a"):match "model name%s*:%s*([^\n]*)" or "processor unknown"
  print(("machine  %s, %s cores, %s"):format(model, line_of(output "nproc --all"), line_of(output "uname -sr")))
  print(("client   core 1: %s; %s; http_version by default %s")
    :format(line_of(output(command(plain, "--version"))), line_of(output(command(lua, "-v"))), core.curl().http))
  print(("server   core 0: %s; 127.0.0.1, TLS 1.3, RSA-2048, answers 204"):format(line_of(output "nginx -v 2>&1")))
end

-- Whoever else computes here while we measure makes every number worse, and not all alike.
local function print_load(when)
  local load = line_of(output "cut -d' ' -f1 /proc/loadavg")
  local busy = when == "before" and tonumber(load) > 0.5
  print(("load     %s %s%s"):format(load, when, busy and ": this machine is busy, do not trust what follows" or ""))
end

-- ---- speed --------------------------------------------------------------------------------------

local function url(http) return ("https://localhost:%d"):format(http == "2" and port + 1 or port) end

-- About half a second of each: many short rounds say more than a few long ones.
local function requests_for(in_flight)
  return in_flight == 1 and 2000 or 6000
end

local function warm_up_for(in_flight) return math.max(200, 4 * in_flight) end

local function client(http, in_flight, ...)
  local line = command(...) .. " " ..
    command(url(http), ca, token, http, in_flight, requests_for(in_flight), warm_up_for(in_flight))
  return function() return run(line) end
end

local function report_speed(in_flight, runs)
  local throughput, slowest, fastest = ratio(runs.lua, runs.plain, per_second)
  local cpu, cheapest, dearest = ratio(runs.lua, runs.plain, cpu_us)
  print(("%9d %9.0f %7.1f %9.0f %7.1f    %4.2f (%4.2f-%4.2f) %-7s %4.2f (%4.2f-%4.2f) %s"):format(in_flight,
    median(column(runs.plain, per_second)), median(column(runs.plain, cpu_us)),
    median(column(runs.lua, per_second)), median(column(runs.lua, cpu_us)),
    throughput, slowest, fastest, verdict(throughput >= BAR.throughput),
    cpu, cheapest, dearest, verdict(cpu <= BAR.cpu)))
  io.flush()
end

local function measure_speed(http)
  print(("\nHTTP/%-5s|  plain C, libcurl  |       Lua        |  throughput, >= %.2f   |  CPU, <= %.2f")
    :format(http, BAR.throughput, BAR.cpu))
  print("in flight     req/s  CPU us     req/s  CPU us    Lua : plain C (least-most)")
  for _, in_flight in ipairs(IN_FLIGHT) do
    report_speed(in_flight, in_turns(rounds, { "plain", "lua" }, {
      plain = client(http, in_flight, plain),
      lua = client(http, in_flight, lua, post),
    }))
  end
end

-- ---- peers --------------------------------------------------------------------------------------

-- h2load sends the same bytes every time and keeps nothing: the limit of what a client could do.
local function h2load(http, in_flight)
  local requests = requests_for(in_flight) * 4
  local flow = http == "2" and { "-c1", "-m" .. in_flight } or { "--h1", "-m1", "-c" .. in_flight }
  local authorization = "authorization: Bearer " .. assert(io.open(token)):read()
  local line = command(stopwatch, "h2load", "-n", requests, "-H", ":method: POST", "-H", authorization,
    "-H", "accept: application/json", "-H", "client-request-id: " .. UUID, "-H", "content-length: 0",
    table.unpack(flow)) .. " " .. quote(url(http) .. PATH)
  return function()
    local text, ok = output("taskset -c 1 " .. line)
    if not ok or not text:find(requests .. " succeeded", 1, true) then error("bench: h2load failed\n" .. text, 0) end
    local number, unit = text:match "finished in ([%d.]+)(m?s)"
    return { requests = requests, wall_s = tonumber(number) / (unit == "ms" and 1000 or 1),
      cpu_s = read_numbers(text).process_cpu_s }
  end
end

local function node(in_flight)
  local line = command("node", here .. "/peer.js", url "1.1", ca, token, in_flight,
    requests_for(in_flight), warm_up_for(in_flight))
  return function() return run(line) end
end

local PEERS = {
  { name = "h2load HTTP/1.1", program = "h2load", package = "nghttp2-client",
    make = function(in_flight) return h2load("1.1", in_flight) end },
  { name = "h2load HTTP/2", program = "h2load", package = "nghttp2-client",
    make = function(in_flight) return h2load("2", in_flight) end },
  { name = "Node https 1.1", program = "node", package = "nodejs", make = node },
}

local function peer_row(peer)
  local row = { ("%-16s"):format(peer.name) }
  for _, in_flight in ipairs(IN_FLIGHT) do
    local runs = in_turns(quick and 1 or 3, { "peer" }, { peer = peer.make(in_flight) }).peer
    table.insert(row, ("%7.0f (%6.1f)"):format(median(column(runs, per_second)), median(column(runs, cpu_us))))
  end
  return table.concat(row, " ")
end

local function measure_peers()
  print(("\nPeers, req/s (CPU us) with %s in flight; h2load (a load generator: the limit) with its start")
    :format(table.concat(IN_FLIGHT, ", ")))
  for _, peer in ipairs(PEERS) do
    local there = has(peer.program)
    print(there and peer_row(peer) or
      ("%-16s not measured: no %s here (Debian: %s)"):format(peer.name, peer.program, peer.package))
    io.flush()
  end
end

-- ---- batches ------------------------------------------------------------------------------------

local BATCHED = 80 -- calls at once: four batches of twenty

local function batched()
  local line = command(lua, post, url "1.1", ca, token, "1.1", BATCHED, 20 * requests_for(1), 400, "batch")
  return function() return run(line) end
end

local function decoding()
  local line = command(lua, here .. "/cjson.lua", dir .. "/parts", 20 * requests_for(1))
  return function() return run(line) end
end

-- The cheapest request of the load generator, whichever way it is cheapest.
local function cheapest_of(runs, names)
  local best
  for _, name in ipairs(names) do
    if not best or median(column(runs[name], cpu_us)) < median(column(runs[best], cpu_us)) then best = name end
  end
  return best
end

local H2LOADS = { ["HTTP/1.1, 16 in flight"] = { "1.1", 16 }, ["HTTP/1.1, 64 in flight"] = { "1.1", 64 },
  ["HTTP/2, 16 in flight"] = { "2", 16 }, ["HTTP/2, 64 in flight"] = { "2", 64 } }

local function measure_batches()
  print("\nOne call of many, twenty to a batch: at most the CPU of a load generator's cheapest request without")
  if not has "h2load" then print "not judged: no h2load here (Debian: nghttp2-client)" end
  local contestants, names = { batch = batched(), cjson = decoding() }, {}
  if has "h2load" then
    for name, how in pairs(H2LOADS) do
      contestants[name], names[#names + 1] = h2load(how[1], how[2]), name
    end
    table.sort(names)
  end
  local runs = in_turns(rounds, { "batch", "cjson", table.unpack(names) }, contestants)
  local cost = median(column(runs.batch, cpu_us))
  print(("through Lua, graph.map with batch        %6.1f us, %.0f calls/s"):format(cost,
    median(column(runs.batch, per_second))))
  print(("of that lua-cjson, decoding              %6.1f us, %.0f %%"):format(median(column(runs.cjson, cpu_us)),
    100 * ratio(runs.cjson, runs.batch, cpu_us)))
  local best = cheapest_of(runs, names)
  if not best then return end
  local share, least, most = ratio(runs.batch, runs[best], cpu_us)
  print(("h2load, one by one, %-20s %6.1f us"):format(best, median(column(runs[best], cpu_us))))
  print(("Lua : h2load                               %.2f (%.2f-%.2f) %s"):format(share, least, most,
    verdict(share <= BAR.batch)))
end

-- ---- start --------------------------------------------------------------------------------------

local function report_start(title, runs)
  local faster, least, most = ratio(runs.lua, runs.curl, wall_ms)
  print(("%-24s %8.1f %9.1f %8.1f    %4.2f (%4.2f-%4.2f) %s"):format(title, median(column(runs.curl, wall_ms)),
    median(column(runs.plain, wall_ms)), median(column(runs.lua, wall_ms)), faster, least, most,
    verdict(faster <= BAR.start)))
end

-- prefix: what comes before the stopwatch; trust: the clients' words for whom to believe.
local function measure_start(title, prefix, trust)
  local watch = quote(stopwatch) .. " "
  local function timed(line)
    return function() return run(watch .. line, prefix) end
  end
  report_start(title, in_turns(STARTS, { "curl", "plain", "lua" }, {
    curl = timed(command("curl", "-q", "-sSf", "--http1.1", "-d", "", "-H", "Content-Type:",
      "-H", "@" .. dir .. "/headers", url "1.1" .. PATH, table.unpack(trust.curl))),
    plain = timed(command(plain, url "1.1", trust.plain, token, "1.1", 1, 1, 0)),
    lua = timed(command(lua, first, url "1.1", trust.lua, token)),
  }))
end

local function write_headers()
  local file <close> = assert(io.open(dir .. "/headers", "w"))
  local secret = assert(io.open(token)):read()
  file:write("Authorization: Bearer ", secret, "\nAccept: application/json\nclient-request-id: ", UUID, "\n")
end

-- The system's authorities and the bench's, shown to one command as if they were the system's: a mount
-- that exists for that command alone. Returns what to put before a command, or nil and why not.
local function pretend_system(directory)
  local copy = dir .. "/system"
  local made = ([[
    mkdir COPY && cp -L DIRECTORY/* COPY/ 2>/dev/null
    name=$(openssl x509 -noout -subject_hash -in CA) && cp CA COPY/$name.0 &&
    if [ -f COPY/ca-certificates.crt ]; then cat CA >>COPY/ca-certificates.crt; fi]])
    :gsub("DIRECTORY", directory):gsub("COPY", copy):gsub("CA%f[^%w_]", ca)
  if directory == "" or not os.execute(made) then return nil, "libcurl knows no directory of authorities" end
  local within = ("sh -c %s sh "):format(quote(('mount --bind %s %s && exec "$@"'):format(copy, directory)))
  for _, unshare in ipairs { "unshare -m ", "unshare -rm " } do
    if select(2, output(unshare .. within .. "true 2>&1")) then return unshare .. within end
  end
  return nil, "no mount of one's own allowed here"
end

local function measure_starts()
  print(("\nStart to first answer, whole process, wall ms, %d in turns: at most the curl command's"):format(STARTS))
  print("                         curl cmd   plain C      Lua     Lua : curl (least-most)")
  write_headers()
  measure_start("authority in a file", nil, { curl = { "--cacert", ca }, plain = ca, lua = ca })
  local directory = output(command(plain, "--version")):match "\n([^\n]*)"
  local prefix, problem = pretend_system(directory)
  if not prefix then return print("the system's authorities not measured: " .. problem) end
  measure_start("the system's authorities", prefix, { curl = {}, plain = directory .. "/", lua = "system" })
end

-- ---- memory -------------------------------------------------------------------------------------

local function queued(in_flight, ...)
  local line = command(...)
  return function(how)
    return run(("%s %s %s"):format(line, command(url "1.1", ca, token, "1.1", in_flight, QUEUED, 0), how or ""))
  end
end

local function report_memory(title, runs, judge)
  local above = median(column(runs, above_idle_mib))
  print(("%-44s %6.1f MiB  %6.1f us  %s"):format(title, above, median(column(runs, cpu_us)),
    judge and verdict(above <= BAR.memory) or ""))
end

local function measure_memory()
  print(("\n%d requests queued: most memory above the idle process, <= %d MiB; CPU of a request")
    :format(QUEUED, BAR.memory))
  local in_c, in_lua = queued(64, plain), queued(64, lua, post)
  local runs = in_turns(3, { "plain", "map", "spawn" }, {
    plain = function() return in_c() end,
    map = function() return in_lua "map" end,
    spawn = function() return in_lua "spawn" end,
  })
  report_memory("plain C, 64 in flight", runs.plain, false)
  report_memory("graph.map, 64 in flight", runs.map, true)
  report_memory("a task each, as many in flight as may be", runs.spawn, true)
end

-- ---- lists --------------------------------------------------------------------------------------

-- A user with some of the properties people select: 840 bytes.
local USER <const> = [[{"id":"%s","businessPhones":["+1 425 555 0%03d"],"displayName":"Ada Lovelace %d",]]
  .. [["givenName":"Ada","jobTitle":"Software Engineer","mail":"%s","mobilePhone":null,"officeLocation":"18/%d",]]
  .. [["preferredLanguage":"en-US","surname":"Lovelace","userPrincipalName":"%s","accountEnabled":true,]]
  .. [["ageGroup":null,"city":"Seattle",]]
  .. [["companyName":null,"country":"US","createdDateTime":"2024-03-04T08:00:00Z","department":"Engineering",]]
  .. [["employeeId":"%d","employeeType":null,"externalUserState":null,"onPremisesSyncEnabled":null,]]
  .. [["proxyAddresses":["SMTP:%s"],"userType":"Member","usageLocation":"US","assignedLicenses":[{"disabledPlans":[],]]
  .. [["skuId":"efccb6f7-5641-4e0e-bd10-b4976e1bf68e"}],"signInSessionsValidFromDateTime":"2026-01-02T08:00:00Z"}]]

local function write_page()
  local users = {}
  for i = 1, ITEMS do
    local id = ("%08x-0000-4000-8000-%012x"):format(i * 2654435761 % 0x100000000, i)
    local name = ("ada.lovelace%05d@contoso.com"):format(i)
    users[i] = USER:format(id, i, i, name, i, name, i, name)
  end
  local file <close> = assert(io.open(dir .. "/users.json", "w"))
  file:write('{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#users","@odata.nextLink":"@LINK@",',
    '"value":[', table.concat(users, ","), "]}")
  return file:seek "cur"
end

local function page_ms(run_) return run_.cpu_s / run_.requests * 1e3 end

local function measure_lists()
  local bytes = write_page()
  print(("\nA list, %d pages of %d users (%d kB each): CPU ms of a page; most memory above the idle process")
    :format(PAGES, ITEMS, bytes // 1000))
  local arguments = " " .. command(url "1.1", ca, token, PAGES)
  local runs = in_turns(rounds, { "plain", "decoded", "lua" }, {
    plain = function() return run(command(pages) .. arguments) end,
    decoded = function() return run(command(pages) .. arguments .. " decode") end,
    lua = function() return run(command(lua, list) .. arguments) end,
  })
  local function row(title, of)
    print(("%-36s %6.2f ms  %6.1f MiB"):format(title, median(column(of, page_ms)), median(column(of, above_idle_mib))))
  end
  row("plain C, nothing decoded", runs.plain)
  row("plain C, decoded by lua-cjson", runs.decoded)
  row("client:items", runs.lua)
  local dearer, least, most = ratio(runs.lua, runs.decoded, page_ms)
  print(("client:items : plain C with lua-cjson, <= %.2f   %4.2f (%4.2f-%4.2f) %s")
    :format(BAR.cpu, dearer, least, most, verdict(dearer <= BAR.cpu)))
  local decode = median(column(runs.decoded, page_ms)) - median(column(runs.plain, page_ms))
  local ours = median(column(runs.lua, page_ms))
  print(("lua-cjson alone is %.0f %% of client:items; without it %.2f ms are left, plain C takes %.2f")
    :format(100 * decode / ours, ours - decode, median(column(runs.plain, page_ms))))
end

-- -------------------------------------------------------------------------------------------------

print_machine()
print_load "before"
print(("rounds   %d in turns; medians; ratios round by round%s")
  :format(rounds, quick and "; quick: too short to judge by" or ""))
measure_speed "1.1"
measure_speed "2"
measure_batches()
measure_starts()
measure_memory()
measure_lists()
measure_peers()
print()
print_load "after (one or two of it is this)"
print(("%d of %d bars met"):format(judged - missed, judged))
