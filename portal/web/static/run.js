// The page of a run: its state, curves and log as they come, by one EventSource. Without
// this the page is as it was when it was loaded.
"use strict";

(function () {
  const run = document.getElementById("run");
  if (!run) return;
  const base = run.dataset.run;
  const kept = 5000; // lines of the log in the page
  const shownPoints = 2000;

  // ---- Log

  const log = document.getElementById("log");
  const follow = document.getElementById("log-follow");
  const logState = document.getElementById("log-state");
  let lines = 0;

  function addLines(event) {
    log.hidden = false;
    document.getElementById("log-empty").hidden = true;
    document.getElementById("log-foot").hidden = false;
    const part = document.createDocumentFragment();
    if (event.skipped) {
      const gap = document.createElement("span");
      gap.className = "log-gap";
      gap.textContent = (event.skipped > 0 ? event.skipped.toLocaleString() + " lines" : "Some lines") + " are not shown here\n";
      part.append(gap);
      lines++;
    }
    for (const text of event.lines) {
      part.append(document.createTextNode(text + "\n"));
      lines++;
    }
    log.append(part);
    for (; lines > kept; lines--) log.firstChild.remove();
    if (follow.checked) log.scrollTop = log.scrollHeight;
  }

  // Who scrolls up wants to read; who comes back to the end wants to follow. That lines are
  // wrapped anew in a narrower window is no scrolling.
  let top = 0, height = 0;
  log.addEventListener("scroll", function () {
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 8) follow.checked = true;
    else if (log.scrollTop < top && log.scrollHeight === height) follow.checked = false;
    top = log.scrollTop;
    height = log.scrollHeight;
  });
  follow.addEventListener("change", function () {
    if (follow.checked) log.scrollTop = log.scrollHeight;
  });

  // ---- Curves

  const chart = document.getElementById("chart");
  let points = [];
  let plots = [];

  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  // Metrics of a size go together: those named a loss, and each other by itself.
  function groups() {
    const names = new Set();
    for (const point of points) for (const name of Object.keys(point.metrics || {})) names.add(name);
    const losses = [], others = [];
    for (const name of Array.from(names).sort()) (/loss/i.test(name) ? losses : others).push(name);
    const out = others.slice(0, 5).map(function (name) { return [name]; });
    if (losses.length) out.unshift(losses.slice(0, 4));
    return out;
  }

  function number(value) {
    if (value == null) return "–";
    return Number.isInteger(value) && Math.abs(value) < 1e9 ? value.toLocaleString() : String(Number(value.toPrecision(4)));
  }

  function draw() {
    if (!window.uPlot || points.length < 2) return;
    const empty = document.getElementById("chart-empty");
    if (empty) empty.hidden = true;
    for (const plot of plots) plot.destroy();
    plots = [];
    chart.hidden = false;
    chart.replaceChildren();
    const steps = points.some(function (point) { return point.step > 0; });
    const x = points.map(function (point, i) { return steps ? point.step || 0 : i + 1; });
    const strokes = [colour("--accent"), colour("--warn"), colour("--good"), colour("--bad")];
    const ink = colour("--ink-soft"), line = colour("--line");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    for (const names of groups()) {
      const figure = document.createElement("figure");
      figure.className = "curve";
      const caption = document.createElement("figcaption");
      caption.textContent = names.join(", ");
      const place = document.createElement("div");
      // The table beside it says the same to who can't see it.
      place.setAttribute("aria-hidden", "true");
      figure.append(caption, place);
      chart.append(figure);
      const data = [x].concat(names.map(function (name) {
        return points.map(function (point) { const v = (point.metrics || {})[name]; return v === undefined ? null : v; });
      }));
      plots.push(new uPlot({
        width: place.clientWidth || 320, height: 220,
        scales: { x: { time: false } },
        cursor: { drag: { x: true, y: false }, points: { size: 6 } },
        axes: [Object.assign({ values: function (_, ticks) { return ticks.map(number); } }, axis), Object.assign({ size: 60, values: function (_, ticks) { return ticks.map(number); } }, axis)],
        series: [{ label: steps ? "step" : "point", value: function (_, v) { return number(v); } }].concat(names.map(function (name, i) {
          return { label: name, stroke: strokes[i % strokes.length], width: 2, spanGaps: true, points: { show: points.length < 30 }, value: function (_, v) { return number(v); } };
        })),
      }, data, place));
    }
  }

  function addPoints(more) {
    for (const point of more) {
      const last = points[points.length - 1];
      if (last && (point.step ? point.step === last.step : point.at === last.at)) continue;
      // An attempt that begins again at a checkpoint takes back what came after it.
      if (point.step) while (points.length && points[points.length - 1].step > point.step) points.pop();
      points.push(point);
    }
    if (points.length > shownPoints) points = points.filter(function (_, i) { return i % 2 === 0 || i === points.length - 1; });
    schedule();
  }

  let drawing = 0;
  function schedule() {
    if (drawing) return;
    drawing = requestAnimationFrame(function () { drawing = 0; draw(); });
  }

  function loadPoints() {
    return fetch(base + "/points", { headers: { Accept: "application/json" } }).then(function (answer) {
      return answer.ok ? answer.json() : [];
    }).then(function (all) {
      const newer = points;
      points = [];
      addPoints(all);
      const last = points.length ? points[points.length - 1].step : 0;
      addPoints(newer.filter(function (point) { return !point.step || point.step > last; }));
    }).catch(function () { /* The stream brings what is new. */ });
  }

  const table = document.getElementById("chart-table");
  if (table && window.uPlot) table.open = false;
  let width = 0;
  new ResizeObserver(function () {
    if (run.clientWidth === width) return;
    width = run.clientWidth;
    schedule();
    if (follow.checked) log.scrollTop = log.scrollHeight;
  }).observe(run);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule);

  // ---- State

  const place = document.getElementById("run-state");
  const said = document.getElementById("run-said");
  const title = document.title;
  let word = "";

  function showState(state) {
    // Who has a button of it in focus keeps it.
    const focus = place.contains(document.activeElement) ? document.activeElement.textContent : "";
    place.innerHTML = state.html; // Our own template's, escaped there.
    document.dispatchEvent(new CustomEvent("lethe:part", { detail: place }));
    if (focus) for (const one of place.querySelectorAll("a, button")) if (one.textContent === focus) one.focus();
    if (word && word !== state.word) {
      said.textContent = state.word + ". " + state.say;
      refresh();
    }
    word = state.word;
    document.title = state.word + " · " + title;
  }

  // When the state is another one, so are the other parts of the page.
  function refresh() {
    fetch(location.pathname).then(function (answer) { return answer.ok ? answer.text() : Promise.reject(); }).then(function (text) {
      const page = new DOMParser().parseFromString(text, "text/html");
      for (const id of ["run-failure", "run-results", "run-attempts", "run-events", "run-fate"]) {
        const now = document.getElementById(id), next = page.getElementById(id);
        if (now && next) {
          now.replaceWith(document.adoptNode(next));
          document.dispatchEvent(new CustomEvent("lethe:part", { detail: document.getElementById(id) }));
        }
      }
    }).catch(function () { /* It is there when the page is loaded again. */ });
  }

  // ---- Stream

  let over = run.hasAttribute("data-over");
  let source = null;
  let after = "";
  let wait = 2000;

  function address() { return base + "/log" + (after ? "?after=" + encodeURIComponent(after) : ""); }

  function connect() {
    source = new EventSource(address());
    source.addEventListener("open", function () { wait = 2000; logState.textContent = over ? "" : "Live"; });
    source.addEventListener("lines", function (event) {
      if (event.lastEventId) after = event.lastEventId;
      addLines(JSON.parse(event.data));
    });
    source.addEventListener("state", function (event) { showState(JSON.parse(event.data)); });
    source.addEventListener("points", function (event) { addPoints(JSON.parse(event.data)); });
    source.addEventListener("end", function () {
      source.close();
      logState.textContent = "This is the end of the log.";
      if (!over) { over = true; refresh(); loadPoints(); }
    });
    source.addEventListener("error", function () {
      if (source.readyState === EventSource.CLOSED) { refused(); return; }
      tell("The connection is lost. It comes back by itself.");
    });
  }

  function tell(text) {
    document.getElementById("log-foot").hidden = false;
    logState.textContent = text;
  }

  // A refusal ends an EventSource for good and doesn't say why: ask once what it is. What
  // time mends is asked for again, later and later; what only the person can is not.
  function refused() {
    const stop = new AbortController();
    fetch(address(), { headers: { Accept: "application/json" }, signal: stop.signal }).then(function (answer) {
      if (answer.ok && /^text\/event-stream/.test(answer.headers.get("Content-Type"))) {
        stop.abort();
        later();
        return;
      }
      const gone = answer.redirected || [401, 403, 404].includes(answer.status);
      return answer.json().catch(function () { return {}; }).then(function (problem) {
        if (gone) {
          tell((problem.message || "This page can't be kept up to date any more.") + (answer.status === 401 || answer.redirected ? " Load the page again to sign in." : ""));
          return;
        }
        tell((problem.message || "The log can't be had just now.") + " This page tries again by itself.");
        later(1000 * Number(answer.headers.get("Retry-After")));
      });
    }).catch(function () {
      tell("The connection is lost. It comes back by itself.");
      later();
    });
  }

  function later(least) {
    setTimeout(connect, Math.max(wait, least || 0));
    wait = Math.min(wait * 2, 60000);
  }

  loadPoints();
  connect();
  addEventListener("pagehide", function () { if (source) source.close(); });
  addEventListener("pageshow", function (event) { if (event.persisted) connect(); });
})();
