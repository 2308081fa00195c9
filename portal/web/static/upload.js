// Sends files from the browser straight to the store: the portal is told of them in
// batches, signs a request for each part, and is told when they are there. Everything may
// be cut off at any moment: whoever chooses the same files again goes on where it was.
"use strict";

(function () {
  const root = document.getElementById("upload");
  if (!root) return;

  const atOnce = 4; // parts on their way
  const told = 500; // files that the portal hears of at once
  const ahead = 64; // parts that are signed at once, and how many bytes of them
  const aheadBytes = 64 << 20;
  const signedFor = 20000; // milliseconds: less than the half minute that the server promises
  const stalledAfter = 30000; // without a byte going
  const answerWithin = 90000; // after the last byte went
  const tries = 6; // of a part that the store refuses
  const junk = new Set([".DS_Store", "Thumbs.db", "desktop.ini"]);

  const items = new Map(); // by path
  const hashing = new Map(); // by number
  const failed = new Set();
  const queue = []; // items with parts to send
  let signed = []; // requests that may be sent
  const flying = new Set(); // requests on their way
  let finishable = []; // items of which all is sent
  let paused = false, signing = false, finishing = false, adding = 0;
  let trouble = 0, waitUntil = 0, words = "";
  let totalBytes = 0, sentBytes = 0, doneFiles = 0, moved = 0, samples = [];
  let ticking = 0, numbers = 0;

  const $ = function (id) { return document.getElementById(id); };
  const drop = $("drop"), panel = $("upload-progress"), problem = $("upload-problem"), seal = $("seal");

  // Digests are computed in a thread of their own.
  const worker = new Worker(root.dataset.worker);
  worker.postMessage({ hasher: root.dataset.hasher });
  worker.onmessage = function (event) {
    const item = hashing.get(event.data.id);
    hashing.delete(event.data.id);
    if (!item || item.gone) return;
    if (event.data.error) {
      fail(item, "It can't be read, or has changed since it was chosen. Choose it again.");
    } else {
      item.sha256 = event.data.sha256;
      whenSent(item);
    }
    pump();
  };

  // The portal

  async function call(what, files) {
    let answer;
    try {
      answer = await fetch(root.dataset.files + what, {
        method: "POST", credentials: "same-origin", signal: AbortSignal.timeout(60000),
        headers: { "Content-Type": "application/json" }, body: JSON.stringify({ files: files }),
      });
    } catch {
      throw { again: true, message: "The portal can't be reached." };
    }
    const body = await answer.json().catch(function () { return null; });
    if (answer.ok && body) return body;
    if (answer.status === 401) throw { stop: true, message: "You were signed out. Sign in again in another tab, then press “Go on”." };
    throw {
      again: !body || answer.status >= 500 || answer.status === 429, after: body ? body.retryAfter * 1000 : 0,
      stop: answer.status !== 422, message: body && body.message ? body.message : "The portal does not answer as it should.",
    };
  }

  // Waits longer each time, and not at all once the connection is back.
  function backOff(message, after) {
    trouble++;
    const wait = Math.min(30000, 500 * Math.pow(2, Math.min(trouble, 6))) * (0.5 + Math.random() / 2);
    waitUntil = Date.now() + Math.max(wait, after || 0);
    words = message;
    setTimeout(pump, waitUntil - Date.now() + 10);
  }

  function calm() {
    trouble = 0;
    waitUntil = 0;
    words = "";
  }

  function held() { return paused || !navigator.onLine || Date.now() < waitUntil; }

  function sleepWhileHeld() {
    return new Promise(function (resolve) {
      const timer = setInterval(function () {
        if (held()) return;
        clearInterval(timer);
        resolve();
      }, 100);
    });
  }

  // A refusal that trying again does not mend.
  function refused(error) {
    complain(error.message);
    if (error.stop) pause(true);
  }

  // Which files

  async function add(chosen) {
    const files = chosen.filter(function (one) { return !junk.has(one.file.name); });
    let bytes = 0;
    for (const one of files) bytes += one.file.size;
    if (bytes > Number(root.dataset.max)) {
      complain("These files have " + size(bytes) + "; a dataset may have " + size(Number(root.dataset.max)) + ". None of them was taken.");
      return;
    }
    if (files.length === 0) {
      complain("There was no file in it.");
      return;
    }
    adding++;
    start();
    for (let at = 0; at < files.length; at += told) {
      if (!(await tell(files.slice(at, at + told)))) break;
    }
    adding--;
    pump();
  }

  async function tell(files) {
    const claims = files.map(function (one) {
      return { path: one.path, size: one.file.size, fingerprint: one.file.lastModified + ":" + one.file.size };
    });
    for (;;) {
      await sleepWhileHeld();
      try {
        const plans = (await call("", claims)).files;
        calm();
        plans.forEach(function (plan, i) { take(plan, files[i].file); });
        pump();
        return true;
      } catch (error) {
        if (!error.again) {
          refused(error);
          return false;
        }
        backOff(error.message, error.after);
      }
    }
  }

  function take(plan, file) {
    const old = items.get(plan.path);
    if (old && !old.failed && old.file.size === file.size && old.file.lastModified === file.lastModified) return;
    if (old) forget(old);
    const have = new Set(plan.have || []);
    const item = { path: plan.path, file: file, partSize: plan.partSize || 0, todo: [], left: 0, tries: {}, sha256: "", done: false, failed: "" };
    items.set(item.path, item);
    totalBytes += file.size;
    if (plan.status === "complete") {
      item.done = true;
      doneFiles++;
      sentBytes += file.size;
      return;
    }
    for (let part = 1; part <= plan.parts; part++) {
      if (have.has(part)) sentBytes += length(item, part);
      else item.todo.push(part);
    }
    item.left = item.todo.length;
    queue.push(item);
    item.number = ++numbers;
    hashing.set(item.number, item);
    worker.postMessage({ id: item.number, file: file });
  }

  function forget(item) {
    if (hashing.delete(item.number)) worker.postMessage({ id: item.number, drop: true });
    failed.delete(item);
    for (const request of flying) if (request.item === item) request.stop();
    totalBytes -= item.file.size;
    sentBytes -= sentOf(item);
    if (item.done) doneFiles--;
    item.todo = [];
    item.gone = true;
    items.delete(item.path);
  }

  function sentOf(item) {
    if (item.done) return item.file.size;
    let missing = 0;
    for (const part of item.todo) missing += length(item, part);
    for (const request of signed) if (request.item === item) missing += length(item, request.part);
    for (const request of flying) if (request.item === item) missing += length(item, request.part);
    return item.file.size - missing;
  }

  function length(item, part) {
    if (!item.partSize) return item.file.size;
    return Math.min(item.partSize, item.file.size - (part - 1) * item.partSize);
  }

  function fail(item, message) {
    if (item.failed || item.gone) return;
    item.failed = message;
    failed.add(item);
    item.todo = [];
    for (const request of Array.from(flying)) if (request.item === item) request.stop();
  }

  // Sending

  function pump() {
    if (!held()) {
      while (flying.size < atOnce) {
        const request = next();
        if (!request) break;
        send(request);
      }
      if (signed.length < atOnce && !signing && wanting()) sign();
      if (finishable.length > 0 && !finishing) finish();
    }
    show();
  }

  function wanting() {
    while (queue.length > 0 && queue[0].todo.length === 0) queue.shift();
    return queue.length > 0;
  }

  function next() {
    for (let request = signed.shift(); request; request = signed.shift()) {
      if (request.item.gone || request.item.failed) continue;
      if (Date.now() < request.until) return request;
      giveBack(request);
    }
    return null;
  }

  function giveBack(request) {
    const item = request.item;
    if (item.gone || item.failed || item.done) return;
    item.todo.unshift(request.part);
    if (!queue.includes(item)) queue.unshift(item);
  }

  async function sign() {
    signing = true;
    const taken = [];
    const wanted = [];
    let bytes = 0;
    for (const item of queue) {
      const parts = [];
      while (item.todo.length > 0 && taken.length < ahead && (taken.length < atOnce || bytes < aheadBytes)) {
        const part = item.todo.shift();
        parts.push(part);
        taken.push({ item: item, part: part });
        bytes += length(item, part);
      }
      if (parts.length > 0) wanted.push({ path: item.path, parts: parts });
      if (taken.length >= ahead || (taken.length >= atOnce && bytes >= aheadBytes)) break;
    }
    try {
      const until = Date.now() + signedFor;
      const requests = (await call("/sign", wanted)).requests || [];
      const found = new Map(requests.map(function (r) { return [r.path + "\n" + r.part, r]; }));
      for (const one of taken) {
        const request = found.get(one.item.path + "\n" + one.part);
        if (request) signed.push(Object.assign(one, { request: request, until: until }));
        else sentPart(one.item, length(one.item, one.part)); // another tab has completed it
      }
      calm();
    } catch (error) {
      taken.reverse().forEach(giveBack);
      if (error.again) backOff(error.message, error.after);
      else refused(error);
    }
    signing = false;
    pump();
  }

  function send(one) {
    const item = one.item;
    const xhr = new XMLHttpRequest();
    const from = (one.part - 1) * item.partSize;
    let watch = 0, over = false;
    one.loaded = 0;
    one.stop = function () { xhr.abort(); };

    function look(after) {
      clearTimeout(watch);
      watch = setTimeout(function () { end("stalled"); xhr.abort(); }, after);
    }
    function end(how) {
      if (over) return;
      over = true;
      clearTimeout(watch);
      flying.delete(one);
      if (how === "sent") {
        calm();
        sentPart(item, length(item, one.part));
      } else {
        giveBack(one);
        if (how === "refused") tryAgain(one, xhr.status);
        if (how === "stalled") backOff("Nothing goes through. It is tried again.");
        if (how === "lost") backOff("The connection to the store was lost. It is tried again.");
      }
      pump();
    }

    xhr.upload.onprogress = function (event) {
      moved += Math.max(0, event.loaded - one.loaded);
      one.loaded = event.loaded;
      look(stalledAfter);
    };
    xhr.upload.onload = function () { look(answerWithin); };
    xhr.onload = function () {
      if (xhr.status >= 200 && xhr.status < 300) end("sent");
      else end(xhr.status >= 500 || xhr.status === 429 ? "lost" : "refused");
    };
    xhr.onerror = function () { end("lost"); };
    xhr.onabort = function () { end("stopped"); };
    xhr.open(one.request.method, one.request.url);
    for (const name in one.request.headers) xhr.setRequestHeader(name, one.request.headers[name]);
    flying.add(one);
    look(stalledAfter);
    // A slice has no media type of its own that would have to be allowed.
    xhr.send(item.file.slice(from, from + length(item, one.part)));
  }

  // Mostly the request was signed too long ago, and a new one is taken.
  function tryAgain(one, status) {
    const count = one.item.tries[one.part] = (one.item.tries[one.part] || 0) + 1;
    if (count >= tries) fail(one.item, "The store refuses it (" + status + "). Choose it again to go on.");
    else backOff("The store did not take a part. It is sent again.");
  }

  function sentPart(item, bytes) {
    if (item.gone) return;
    sentBytes += bytes;
    item.left--;
    whenSent(item);
  }

  function whenSent(item) {
    if (item.left === 0 && item.sha256 && !item.done && !item.failed && !finishable.includes(item)) finishable.push(item);
  }

  async function finish() {
    finishing = true;
    const list = finishable.splice(0, told);
    try {
      const results = (await call("/finish", list.map(function (item) { return { path: item.path, sha256: item.sha256 }; }))).files;
      calm();
      results.forEach(function (result, i) { settle(list[i], result); });
    } catch (error) {
      if (error.again || error.stop) finishable = list.concat(finishable);
      else for (const item of list) fail(item, "It could not be finished. Choose it again.");
      if (error.again) backOff(error.message, error.after);
      else refused(error);
    }
    finishing = false;
    pump();
  }

  function settle(item, result) {
    if (result.complete) {
      item.done = true;
      doneFiles++;
      return;
    }
    item.todo = result.missing || [];
    item.left = item.todo.length;
    for (const part of item.todo) sentBytes -= length(item, part);
    if (!queue.includes(item)) queue.push(item);
  }

  // What people see

  function size(bytes) {
    if (bytes < 1024) return bytes + " B";
    const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let value = bytes / 1024, unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit++;
    }
    return value.toFixed(value >= 100 ? 0 : 1) + " " + units[unit];
  }

  function lasting(seconds) {
    if (seconds < 60) return Math.ceil(seconds) + " s";
    if (seconds < 5400) return Math.round(seconds / 60) + " min";
    return (seconds / 3600).toFixed(1) + " h";
  }

  function complain(message) {
    const line = document.createElement("li");
    line.textContent = message;
    problem.querySelector("ul").append(line);
    problem.hidden = false;
  }

  function over() { return adding === 0 && !signing && !finishing && flying.size === 0 && doneFiles + failed.size === items.size; }

  function state() {
    if (paused) return "Paused";
    if (over()) return failed.size > 0 ? "Not all files are there" : "All files are there";
    if (!navigator.onLine) return "No connection. It goes on by itself.";
    if (words) return words;
    if (totalBytes > 0 && sentBytes >= totalBytes && adding === 0) return "Checking …";
    return items.size === 0 ? "Looking at the files …" : "Uploading";
  }

  function start() {
    problem.hidden = true;
    problem.querySelector("ul").replaceChildren();
    panel.hidden = false;
    if (!ticking) ticking = setInterval(tick, 250);
    show();
  }

  function tick() {
    samples.push({ at: Date.now(), moved: moved });
    while (samples.length > 40) samples.shift(); // ten seconds
    show();
    if (!over() || paused) return;
    clearInterval(ticking);
    ticking = 0;
    samples = [];
    show();
    refresh();
  }

  function show() {
    let live = 0;
    for (const one of flying) live += Math.min(one.loaded, length(one.item, one.part));
    const sent = Math.min(totalBytes, sentBytes + live);
    $("upload-state").textContent = state();
    const bar = $("upload-total");
    bar.max = Math.max(1, totalBytes);
    bar.value = totalBytes > 0 ? sent : Number(doneFiles > 0);
    let text = doneFiles + " of " + items.size + (items.size === 1 ? " file" : " files") + " · " + size(sent) + " of " + size(totalBytes);
    const first = samples[0], last = samples[samples.length - 1];
    const speed = first && last.at > first.at ? (last.moved - first.moved) * 1000 / (last.at - first.at) : 0;
    if (speed > 0 && !paused && sent < totalBytes) text += " · " + size(speed) + "/s · about " + lasting((totalBytes - sent) / speed) + " left";
    $("upload-sums").textContent = text;
    $("upload-pause").hidden = over() && !paused;
    $("upload-pause").textContent = paused ? "Go on" : "Pause";
    if (seal) seal.disabled = items.size > 0 && !over();
    lines();
  }

  // Only files on their way and failed ones have a line: there may be a hundred thousand.
  const shownLines = new Map();

  function lines() {
    const now = new Map();
    for (const one of flying) {
      const item = one.item;
      now.set(item, Math.min(item.file.size, (now.get(item) || sentOf(item)) + one.loaded));
    }
    for (const item of failed) {
      if (now.size >= 30) break;
      now.set(item, -1);
    }
    for (const [item, line] of shownLines) {
      if (now.has(item)) continue;
      line.remove();
      shownLines.delete(item);
    }
    for (const [item, sent] of now) draw(item, sent);
  }

  function draw(item, sent) {
    let line = shownLines.get(item);
    if (!line) {
      line = document.createElement("li");
      line.append(document.createElement("span"), document.createElement("span"), document.createElement("progress"));
      line.children[0].textContent = item.path;
      line.children[1].className = "size";
      line.children[2].max = Math.max(1, item.file.size);
      line.children[2].setAttribute("aria-label", item.path);
      shownLines.set(item, line);
      $("upload-files").append(line);
    }
    line.children[1].textContent = item.failed ? item.failed : size(Math.max(0, sent)) + " of " + size(item.file.size);
    line.children[1].classList.toggle("wrong-file", Boolean(item.failed));
    line.children[2].hidden = Boolean(item.failed);
    line.children[2].value = Math.max(0, sent);
  }

  // The list of what is there, as the server has it now.
  async function refresh() {
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.pathname, { credentials: "same-origin" })).text(), "text/html");
      for (const id of ["status", "upload-told"]) {
        const fresh = page.getElementById(id), old = $(id);
        if (!fresh) continue;
        if (old) old.replaceWith(fresh);
        else root.after(fresh);
        document.dispatchEvent(new CustomEvent("lethe:part", { detail: fresh }));
      }
    } catch {
      // It is only out of date.
    }
  }

  // What people do

  function pause(on) {
    paused = on;
    if (on) for (const one of Array.from(flying)) one.stop();
    else calm();
    samples = [];
    pump();
  }

  $("upload-pause").addEventListener("click", function () { pause(!paused); });
  window.addEventListener("online", function () { calm(); pump(); });
  window.addEventListener("offline", function () {
    for (const one of Array.from(flying)) one.stop();
    show();
  });
  window.addEventListener("beforeunload", function (event) {
    if (items.size > 0 && !over()) event.preventDefault();
  });

  for (const button of root.querySelectorAll("[data-pick]")) {
    const input = $("pick-" + button.dataset.pick);
    button.addEventListener("click", function () { input.click(); });
    input.addEventListener("change", function () {
      const chosen = Array.from(input.files, function (file) {
        // As kubectl does: the files of a folder, without its own name.
        return { file: file, path: file.webkitRelativePath ? file.webkitRelativePath.replace(/^[^/]*\//, "") : file.name };
      });
      input.value = "";
      add(chosen);
    });
  }

  function entriesOf(reader) {
    return new Promise(function (resolve, reject) { reader.readEntries(resolve, reject); });
  }

  async function walk(entry, path, into) {
    if (entry.isFile) {
      into.push({ path: path, file: await new Promise(function (resolve, reject) { entry.file(resolve, reject); }) });
      return;
    }
    const reader = entry.createReader();
    for (let list = await entriesOf(reader); list.length > 0; list = await entriesOf(reader)) {
      for (const child of list) await walk(child, path ? path + "/" + child.name : child.name, into);
    }
  }

  async function dropped(transfer) {
    // Entries are there only until the event is over, so they are all taken at once.
    const entries = Array.from(transfer.items, function (item) { return item.webkitGetAsEntry && item.webkitGetAsEntry(); }).filter(Boolean);
    if (entries.length === 0) {
      add(Array.from(transfer.files, function (file) { return { file: file, path: file.name }; }));
      return;
    }
    const into = [];
    const alone = entries.length === 1 && entries[0].isDirectory;
    try {
      for (const entry of entries) await walk(entry, alone ? "" : entry.name, into);
    } catch {
      complain("Some of it can't be read. Choose it with the buttons.");
      return;
    }
    add(into);
  }

  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, function (event) {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, function () { drop.classList.remove("over"); });
  drop.addEventListener("drop", function (event) {
    event.preventDefault();
    dropped(event.dataTransfer);
  });
  // A file that misses the place must not replace the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, function (event) { event.preventDefault(); });

  root.hidden = false;
})();
