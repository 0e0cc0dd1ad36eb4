// The script of the console's pages. It shows times in the browser's zone, refreshes lists and threads, and
// asks before an action that cannot be undone. Without it every page works, but does not
// refresh itself.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const zoneName = Intl.DateTimeFormat().resolvedOptions().timeZone;

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = zone.format(new Date(time.dateTime));
  }
}

function showAges() {
  for (const span of document.querySelectorAll("[data-since]")) {
    const s = Math.max(0, Math.floor((Date.now() - Date.parse(span.dataset.since)) / 1000));
    const min = Math.floor(s / 60);
    if (s < 60) span.textContent = `${s} s`;
    else if (min < 60) span.textContent = `${min} min ${s % 60} s`;
    else span.textContent = `${Math.floor(min / 60)} h ${min % 60} min`;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.add) {
    const row = document.getElementById(button.dataset.add).content.cloneNode(true);
    document.getElementById(button.dataset.to).append(row);
    document.getElementById(button.dataset.to).lastElementChild.querySelector("input").focus();
  } else if ("remove" in button.dataset) {
    const row = button.closest("[data-row]");
    const next = row.nextElementSibling?.querySelector("input") ?? document.querySelector("[data-add]");
    row.remove();
    next?.focus();
  }
});

// A form is sent once, however often its button is pressed. After this time in ms it can be sent again.
const SENT = 5000;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent || (form.dataset.confirm && !confirm(form.dataset.confirm))) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, SENT);
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("keydown", (event) => {
  const form = event.target.form;
  const button = form?.id === "run-form" && form.querySelector(".primary");
  const pressed = event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat;
  if (!pressed || !button || button.disabled) return;
  event.preventDefault();
  form.requestSubmit(button);
});

// Lists: the rows are requested again while the page is visible.
const LOOK_AGAIN = 3000;
setInterval(() => {
  const rows = document.querySelector("[hx-trigger='refresh']");
  if (rows && document.visibilityState === "visible") htmx.trigger(rows, "refresh");
}, LOOK_AGAIN);

// Threads. Each piece has the number of its last event. Events that the page already shows are skipped.
const RETRY = [1000, 2000, 5000, 10000];
const GIVE_UP = 60;

const isAtEnd = () => innerHeight + scrollY > document.documentElement.scrollHeight - 80;

function place(item, thread) {
  const call = item.dataset.into && document.getElementById(item.dataset.into);
  if (call && thread.contains(call)) {
    // Web pages are shown beside the call, also while it is closed.
    const found = item.querySelector(":scope > .found");
    if (found) call.parentNode.append(found);
    call.append(...item.childNodes);
    item.remove();
  } else if (item.parentNode !== thread) {
    thread.append(item);
  }
}

// The words of an answer, until the answer itself arrives. Only the last ones, if there are many.
const MOST_WORDS = 65536;

function showWords(thread, { text, restart }) {
  let item = document.getElementById("words");
  if (!item) {
    item = document.createElement("li");
    item.id = "words";
    item.className = "message";
    const by = document.createElement("div");
    by.className = "by";
    by.append(Object.assign(document.createElement("strong"), { textContent: "Agent" }));
    item.append(by, Object.assign(document.createElement("div"), { className: "md words" }));
    thread.append(item);
  }
  const words = item.lastElementChild;
  words.textContent = ((restart ? "" : words.textContent) + text).slice(-MOST_WORDS);
}

function signIn() {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}

function follow(thread) {
  const status = document.getElementById("connection");
  const summary = document.getElementById("summary");
  let after = Number(thread.dataset.after);
  let failures = 0;
  let source;

  function connect() {
    source = new EventSource(`${thread.dataset.live}?after=${after}`);
    source.onopen = () => { failures = 0; status.textContent = "live"; };
    source.addEventListener("events", (piece) => {
      const parsed = new DOMParser().parseFromString(piece.data, "text/html");
      const fresh = [...parsed.body.children].filter((item) => Number(item.dataset.seq) > after);
      const atEnd = isAtEnd();
      document.getElementById("words")?.remove();
      for (const item of fresh) {
        const own = document.adoptNode(item);
        showTimes(own);
        place(own, thread);
        if (own.isConnected) htmx.process(own);
      }
      after = Math.max(after, Number(piece.lastEventId));
      if (atEnd && fresh.length) scrollTo(0, document.documentElement.scrollHeight);
    });
    source.addEventListener("words", (piece) => {
      const atEnd = isAtEnd();
      showWords(thread, JSON.parse(piece.data));
      if (atEnd) scrollTo(0, document.documentElement.scrollHeight);
    });
    source.addEventListener("summary", (piece) => {
      const focused = summary.contains(document.activeElement) && document.activeElement.id;
      summary.replaceChildren(...new DOMParser().parseFromString(piece.data, "text/html").body.childNodes);
      showTimes(summary);
      showAges();
      if (focused) (document.getElementById(focused) ?? document.getElementById("again"))?.focus();
    });
    source.addEventListener("over", () => {
      document.getElementById("words")?.remove();
      source.close();
      status.textContent = "";
    });
    source.addEventListener("signed-out", signIn);
    source.onerror = async () => {
      // A new EventSource, because its address must name the last event that the page shows.
      source.close();
      const pause = RETRY[Math.min(failures, RETRY.length - 1)];
      // The server ends each stream after a while, so the first failure shows no message.
      if (failures++ > 0) {
        status.textContent = failures < GIVE_UP ? "reconnecting …" : "not connected; reload the page";
      }
      if (failures === 2) {
        const probe = fetch(thread.dataset.live, { method: "HEAD", redirect: "manual" });
        const answer = await probe.catch(() => null);
        if (answer?.type === "opaqueredirect") signIn();
      }
      if (failures < GIVE_UP) setTimeout(connect, pause);
    };
  }
  connect();
}

document.addEventListener("htmx:afterSettle", (event) => {
  showTimes(event.target.parentNode ?? document);
  showAges();
});
for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, ({ detail: { target } }) => {
    if (target.id !== "rows") target.textContent = "The server did not answer. Reload the page.";
  });
}

showTimes(document);
showAges();
setInterval(showAges, 1000);
document.getElementById("zone").textContent = `Times are in ${zoneName}.`;
const thread = document.getElementById("thread");
if (thread) {
  thread.querySelectorAll("[data-into]").forEach((item) => place(item, thread));
  if (thread.dataset.live) follow(thread);
}
