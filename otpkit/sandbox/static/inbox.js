"use strict";
const list = document.getElementById("messages");
const news = document.getElementById("news");
const words = document.body.dataset;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* Empty the region first: screen readers do not announce a text that has not changed. */
async function say(text) {
  news.textContent = "";
  await pause(50);
  news.textContent = text;
}

function replaceParts(scope, next, names) {
  for (const name of names) {
    const old = scope.querySelector(`[data-part="${name}"]`), part = next.querySelector(`[data-part="${name}"]`);
    if (old.outerHTML !== part.outerHTML) old.replaceWith(part);
  }
}

/* Keep the elements that stay in place, so that open details, the focus and the selection survive. */
function replaceMessages(items) {
  let place = list.firstElementChild, first = null;
  const known = new Map([...list.children].map((item) => [item.id, item]));
  for (const item of items) {
    const old = known.get(item.id);
    if (old) {
      known.delete(item.id);
      replaceParts(old, item, ["status", "receipt"]);
      place = old.nextElementSibling;
    } else {
      list.insertBefore(item, place);
      first ??= item;
    }
  }
  for (const gone of known.values()) gone.remove();
  return first;
}

/* Show times by the clock of this browser. The server writes them in Shanghai time. */
const clock = new Intl.DateTimeFormat(document.documentElement.lang,
  { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
function localize(scope) {
  for (const time of scope.querySelectorAll("time")) {
    time.textContent = clock.format(new Date(time.dateTime));
    time.title = clock.resolvedOptions().timeZone;
  }
}
localize(document);

function show(html, names) {
  const next = new DOMParser().parseFromString(html, "text/html");
  localize(next);
  const fresh = replaceMessages([...next.getElementById("messages").children]);
  replaceParts(document, next, ["count", "empty", "queue", ...names]);
  offerCopies();
  if (fresh) say(fresh.dataset.news);
}

/* One request at a time. Pause four times as long as it took, to leave the server time for other work. */
let looking = false, due = false;
async function look() {
  due = true;
  if (looking) return;
  looking = true;
  while (due) {
    due = false;
    const since = performance.now();
    try {
      const answer = await fetch("/" + location.search, { cache: "no-store" });
      show(await answer.text(), []);
    } catch { /* The server is away. The event stream reconnects and then calls look(). */ }
    await pause(Math.max(100, 4 * (performance.now() - since)));
  }
  looking = false;
}

/* A hidden page closes its stream: a browser allows few connections to one host, and other pages need them. */
let stream = null;
const away = document.getElementById("away");
function watch() {
  stream?.close();
  stream = null;
  if (document.hidden) return;
  stream = new EventSource("/api/events");
  for (const name of ["open", "message", "receipt", "cleared", "faults", "missed"]) stream.addEventListener(name, look);
  stream.addEventListener("open", () => { away.hidden = true; });
  stream.addEventListener("error", ({ target }) => {
    away.hidden = false;
    if (target.readyState === EventSource.CLOSED) setTimeout(watch, 2000); /* otherwise the browser reconnects */
  });
}
document.addEventListener("visibilitychange", watch);
watch();

function offerCopies() {
  for (const button of document.querySelectorAll(".copy[hidden]")) button.hidden = false;
}
offerCopies();

/* navigator.clipboard exists only with https and on local addresses. Otherwise select the code and copy that. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

document.addEventListener("click", async ({ target }) => {
  if (!target.matches(".copy")) return;
  const copied = await copy(target.parentElement.querySelector("bdi"));
  target.textContent = copied ? words.copied : words.selected;
  say(copied ? words.copied : words.selectedHint);
  await pause(2000);
  target.textContent = words.copy;
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  try {
    const answer = await fetch(form.action, { method: "post", body: new URLSearchParams(new FormData(form)) });
    show(await answer.text(), ["fault-problem"]);
    if (answer.ok) form.reset();
    if (!form.isConnected) document.getElementById("fault").focus();
  } catch {
    say(words.away);
  }
});
