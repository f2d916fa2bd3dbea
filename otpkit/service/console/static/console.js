"use strict";
/* Without this script the pages show the same: times in UTC, and figures as of the request. */
const tag = document.documentElement.lang;
const style = (options) => new Intl.DateTimeFormat(tag, { hourCycle: "h23", ...options });
const two = "2-digit";
const formats = {
  second: style({ hour: two, minute: two, second: two }),
  minute: style({ month: "short", day: "numeric", hour: two, minute: two }),
  year: style({ year: "numeric", month: "short", day: "numeric", hour: two, minute: two }),
  hour: style({ hour: two, minute: two }),
  day: style({ month: "short", day: "numeric" }),
};

/* Show times by the clock of this browser. */
function localize(scope) {
  for (const time of scope.querySelectorAll("time[data-format]")) {
    const at = new Date(time.dateTime), name = time.dataset.format;
    const isOld = name === "minute" && at.getFullYear() !== new Date().getFullYear();
    const format = formats[isOld ? "year" : name];
    time.textContent = format.format(at);
    time.title = format.resolvedOptions().timeZone;
  }
}
localize(document);

const live = document.querySelector("[data-live]");
if (live) watch(live.dataset.live, 1000 * live.dataset.every);

/* Fetch the figures every few seconds while the page is seen, and replace the parts that have changed. */
function watch(url, every) {
  const away = document.querySelector("[data-away]");
  const news = document.querySelector("[data-news]");
  const button = document.querySelector("[data-pause]");
  let timer = 0, paused = false, running = null;

  const verdicts = () => [...document.querySelectorAll("[data-announce]")].map(
    (each) => `${each.dataset.announce} ${each.textContent.trim()}`);

  function show(html) {
    const next = new DOMParser().parseFromString(html, "text/html"), before = verdicts();
    localize(next);
    const names = (scope) => [...scope.querySelectorAll("[data-part]")].map((part) => part.dataset.part);
    if (names(next).join() !== names(document).join())
      return location.reload(); /* The page has other parts now, such as the first drawing. */
    const fresh = [...next.querySelectorAll("[data-part]")];
    for (const [place, part] of [...document.querySelectorAll("[data-part]")].entries())
      if (fresh[place].outerHTML !== part.outerHTML) part.replaceWith(fresh[place]);
    const changed = verdicts().filter((each) => !before.includes(each));
    if (changed.length) news.textContent = changed.join(" ");
  }

  async function look() {
    clearTimeout(timer);
    if (paused || document.hidden || running) return;
    running = new AbortController();
    const limit = setTimeout(() => running?.abort(), 20_000);
    try {
      const answer = await fetch(url, { cache: "no-store", signal: running.signal });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error("away");
      show(await answer.text());
      away.hidden = true;
    } catch {
      away.hidden = false;
    } finally {
      clearTimeout(limit);
      running = null;
      timer = setTimeout(look, every);
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? button.dataset.resumeText : button.dataset.pauseText;
    document.body.classList.toggle("paused", paused);
    look();
  });
  document.addEventListener("visibilitychange", look);
  timer = setTimeout(look, every);
}
