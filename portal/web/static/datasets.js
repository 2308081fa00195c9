// Countdowns go on by themselves.
"use strict";

(function () {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  // As the server writes it: the two largest units.
  function lasting(seconds) {
    for (let i = 0; i < units.length; i++) {
      if (seconds < units[i][0] && units[i][0] > 1) continue;
      let text = Math.floor(seconds / units[i][0]) + " " + units[i][1];
      const next = units[i + 1];
      const rest = next ? Math.floor((seconds % units[i][0]) / next[0]) : 0;
      if (rest > 0) text += " " + rest + " " + next[1];
      return text;
    }
    return "0 s";
  }

  function count() {
    for (const end of document.querySelectorAll("[data-countdown]")) {
      const left = Math.floor((new Date(end.dataset.countdown) - Date.now()) / 1000);
      const text = left > 0 ? (end.dataset.in ? "in " : "") + lasting(left) : "any moment";
      if (end.textContent !== text) end.textContent = text;
    }
  }

  count();
  setInterval(count, 1000);
})();
