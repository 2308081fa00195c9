// Shows new mails: the list by itself; beside a mail that is being read, only in the title.
const last = document.body.dataset.last;
const reading = document.body.classList.contains("reading");
const title = document.title;
const look = async () => {
  try {
    const now = await (await fetch("/api/last")).text();
    if (now.trim() !== last) {
      if (!reading) { location.reload(); return; }
      document.title = "● " + title;
    }
  } catch { /* the sink has gone, or is being restarted */ }
  setTimeout(look, 1500);
};
setTimeout(look, 1500);
