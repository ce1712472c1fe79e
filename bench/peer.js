// bench/peer.js - a peer: the calls of bench/plain.c through Node's own https module and its keep-alive agent.
//
//     node bench/peer.js URL CA_FILE TOKEN_FILE IN_FLIGHT REQUESTS WARM_UP        (HTTP/1.1 only)
"use strict";
const https = require("https");
const fs = require("fs");
const { randomUUID } = require("crypto");

const [url, caFile, tokenFile] = process.argv.slice(2, 5);
const [inFlight, requests, warmUp] = process.argv.slice(5).map(Number);
const { hostname, port } = new URL(url);
const agent = new https.Agent({ keepAlive: true, maxSockets: inFlight, ca: fs.readFileSync(caFile) });
const authorization = "Bearer " + fs.readFileSync(tokenFile, "utf8").trim();
let failed = 0;

function call(user) {
  return new Promise((resolve) => {
    const request = https.request({
      agent, hostname, port, method: "POST",
      path: `/v1.0/users/${encodeURIComponent(user)}/removeAllDevicesFromManagement`,
      headers: { authorization, accept: "application/json", "client-request-id": randomUUID(), "content-length": 0 },
    }, (response) => {
      if (response.statusCode !== 204) failed++;
      response.on("end", resolve).resume();
    });
    request.on("error", () => { failed++; resolve(); });
    request.end();
  });
}

async function run(count) {
  let started = 0;
  const worker = async () => {
    while (started < count) await call(`user${String(started++).padStart(8, "0")}@contoso.com`);
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, worker));
}

(async () => {
  await run(warmUp);
  const cpu = process.cpuUsage(), wall = process.hrtime.bigint();
  await run(requests);
  const took = Number(process.hrtime.bigint() - wall) / 1e9, used = process.cpuUsage(cpu);
  console.log(`requests=${requests} failed=${failed} wall_s=${took} cpu_s=${(used.user + used.system) / 1e6}`);
  process.exit(failed ? 1 : 0);
})();
