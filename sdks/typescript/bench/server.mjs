/** The server of the benchmark, in a process of its own, so that its CPU is not counted: answers every request with a job. Ends with its input. */

import { createServer } from "node:http";

import { job } from "../dist/testing.js";

const body = JSON.stringify(job({ externalId: "lesson-1", status: "recording", metadata: { customer_id: "cust_4711", note: "as large as a job usually is" } }));
const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body), "x-request-id": "req_01KAB1CDEFGHJKMNPQRSTVWXYZ" };
const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, headers).end(body);
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit());
