// Computes SHA-256 of files, one after the other, in a thread of its own. The first message
// says where the streaming implementation lies; each other is a file.
"use strict";

(function () {
  // Up to here a file is read whole and the browser's own implementation is used, which is
  // several times as fast; beyond, it would take too much memory.
  const whole = 64 << 20;
  const piece = 4 << 20;

  const waiting = [];
  const dropped = new Set();
  let busy = false;
  let streaming = null;

  function hex(buffer) {
    return Array.from(new Uint8Array(buffer), function (b) { return b.toString(16).padStart(2, "0"); }).join("");
  }

  async function digest(job) {
    if (job.file.size <= whole) return hex(await crypto.subtle.digest("SHA-256", await job.file.arrayBuffer()));
    if (!streaming) streaming = await self.hashwasm.createSHA256();
    streaming.init();
    for (let at = 0; at < job.file.size; at += piece) {
      if (dropped.has(job.id)) return "";
      streaming.update(new Uint8Array(await job.file.slice(at, at + piece).arrayBuffer()));
    }
    return streaming.digest("hex");
  }

  async function work() {
    if (busy) return;
    busy = true;
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      if (dropped.delete(job.id)) continue;
      try {
        self.postMessage({ id: job.id, sha256: await digest(job) });
      } catch (error) {
        self.postMessage({ id: job.id, error: String(error && error.name) });
      }
    }
    busy = false;
  }

  self.onmessage = function (event) {
    const job = event.data;
    if (job.hasher) {
      importScripts(job.hasher);
      return;
    }
    if (job.drop) {
      dropped.add(job.id);
      return;
    }
    waiting.push(job);
    work();
  };
})();
