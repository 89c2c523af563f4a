/**
 * One measurement in a process of its own: `measure.mjs calls CLIENT BASE IN_FLIGHT CALLS`, or `measure.mjs start CLIENT BASE`. Prints one line of JSON.
 * CPU is that of the whole process, user and system, all threads.
 */

import { CLIENTS } from "./clients.mjs";

const [mode, name, base, inFlight, calls] = process.argv.slice(2);
const spent = (since) => {
  const { user, system } = process.cpuUsage(since);
  return user + system;
};

/** Makes so many calls, so many at a time. */
async function fly(call, count) {
  let left = count;
  const worker = async () => {
    while (left-- > 0) {
      const { status } = await call();
      if (status !== "recording") throw new Error(`${name}: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: Number(inFlight) }, worker));
}

if (mode === "calls") {
  const call = await CLIENTS[name](base);
  // The compiler has seen everything by then.
  await fly(call, Number(calls));
  const before = process.cpuUsage();
  const began = performance.now();
  await fly(call, Number(calls));
  const used = spent(before);
  console.log(JSON.stringify({ cpuUs: used / Number(calls), perSecond: (Number(calls) / (performance.now() - began)) * 1000 }));
} else {
  const before = process.cpuUsage();
  const call = await CLIENTS[name](base);
  const imported = spent(before);
  await call();
  console.log(JSON.stringify({ importMs: imported / 1000, callMs: (spent(before) - imported) / 1000 }));
}
// Connections that are kept would hold the process.
process.exit();
