// What makes pages more comfortable. All of them work without it.
"use strict";

(function () {
  // Moments are written in UTC; here they get the reader's own time and language.
  function localTimes(root) {
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (isNaN(moment) || time.title) continue;
      time.title = time.textContent;
      time.textContent = format.format(moment);
    }
  }

  // Passwords can be looked at while they are typed.
  function revealPasswords(root) {
    for (const input of root.querySelectorAll("input[type=password]")) {
      const around = document.createElement("div");
      around.className = "reveal";
      input.replaceWith(around);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Show";
      button.setAttribute("aria-label", "Show the password");
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", function () {
        const shown = input.type === "password";
        input.type = shown ? "text" : "password";
        button.textContent = shown ? "Hide" : "Show";
        button.setAttribute("aria-pressed", String(shown));
        input.focus();
      });
      // What is sent is hidden again, so that no browser offers it as a word once typed.
      if (input.form) input.form.addEventListener("submit", function () { input.type = "password"; });
      around.append(input, button);
    }
  }

  // A list is copied line by line, anything else without the spaces that make it readable.
  function textOf(source) {
    const items = source.querySelectorAll("li");
    if (items.length === 0) return source.textContent.replace(/\s/g, "");
    return Array.from(items, function (item) { return item.textContent.trim(); }).join("\n");
  }

  function copyButtons(root) {
    if (!navigator.clipboard) return;
    for (const button of root.querySelectorAll("[data-copy]")) {
      const words = button.textContent;
      button.hidden = false;
      button.addEventListener("click", function () {
        const source = document.getElementById(button.dataset.copy);
        navigator.clipboard.writeText(textOf(source)).then(
          function () { button.textContent = "Copied"; },
          function () { button.textContent = "Copy it by hand, please"; },
        ).then(function () {
          setTimeout(function () { button.textContent = words; }, 2500);
        });
      });
    }
  }

  function printButtons(root) {
    for (const button of root.querySelectorAll("[data-print]")) {
      button.hidden = false;
      button.addEventListener("click", function () { window.print(); });
    }
  }

  function improve(root) {
    localTimes(root);
    revealPasswords(root);
    copyButtons(root);
    printButtons(root);
  }

  // On narrow screens the menu scrolls sideways: begin where the current page is.
  function showCurrent() {
    const current = document.querySelector(".side [aria-current]");
    if (!current) return;
    const list = current.closest("ul");
    list.scrollLeft = current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;
  }

  improve(document);
  showCurrent();
  const problems = document.getElementById("problems");
  if (problems) problems.focus();

  // htmx notes the page's address for a history that we don't have it keep.
  if (window.htmx) sessionStorage.removeItem("htmx-current-path-for-history");

  // Parts that other scripts of ours put into the page.
  document.addEventListener("lethe:part", function (event) { improve(event.detail); });

  // Parts that htmx puts into the page.
  document.addEventListener("htmx:beforeRequest", function () {
    document.getElementById("problem").replaceChildren();
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    improve(event.detail.target);
    // Parts that change by themselves take the focus from nobody.
    if ("quiet" in event.detail.target.dataset) return;
    // The button that had the focus may be gone: who uses a keyboard goes on at the list.
    if (!document.contains(document.activeElement) || document.activeElement === document.body) {
      event.detail.target.tabIndex = -1;
      event.detail.target.focus();
    }
  });
  document.addEventListener("htmx:sendError", function (event) {
    if (!("quiet" in event.target.dataset)) location.reload();
  });
})();
