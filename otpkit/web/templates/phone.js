"use strict";
// The page works without this. It spares a click: digits alone are taken, and a whole code is sent by itself.
const code = document.querySelector("#code");
const sms = new AbortController();
let isSent = false;

function settle(sent) {
  isSent = sent;
  for (const button of document.querySelectorAll("button:not([data-waits])")) button.disabled = sent;
}

document.addEventListener("submit", (event) => {
  if (isSent) return event.preventDefault(); // a second click
  sms.abort();
  setTimeout(settle, 0, true); // after the browser has read the form
  setTimeout(settle, 20_000, false); // the answer never came
});
addEventListener("pageshow", (event) => event.persisted && settle(false));
// Browsers heed the attribute first, and in a frame once alone. Where they did, there is nothing left to do.
requestAnimationFrame(() => setTimeout(() => {
  if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
}));

// What is typed stays when the language changes, which loads the page anew.
const TYPED = "otpkit.typed";
const fields = [...document.querySelectorAll("input:not([type=hidden]), select")];
const kept = () => JSON.stringify([location.pathname, ...fields.map((field) => field.id)]);
try { // a browser may allow no storage
  const [where, values] = JSON.parse(sessionStorage.getItem(TYPED)) ?? [];
  if (where === kept()) fields.forEach((field, place) => { field.value = values[place]; });
  sessionStorage.removeItem(TYPED);
  document.querySelector("#language").addEventListener("click", () => {
    sessionStorage.setItem(TYPED, JSON.stringify([kept(), fields.map((field) => field.value)]));
  });
} catch {}

if (code) {
  const boxes = [...code.parentElement.querySelectorAll("i")];
  let last = ""; // what was sent by itself: a code that was wrong is not sent again

  function read(text) { // full-width digits too, and a whole message that was pasted
    const plain = text.normalize("NFKC");
    const whole = plain.split(/\D+/).find((digits) => digits.length === boxes.length);
    return whole ?? plain.replace(/\D/g, "").slice(0, boxes.length);
  }
  function take() {
    const digits = read(code.value);
    if (code.value !== digits) {
      const caret = read(code.value.slice(0, code.selectionStart)).length;
      code.value = digits;
      code.setSelectionRange(caret, caret);
    }
    mark();
    if (digits.length < boxes.length) last = "";
    else if (digits !== last && !isSent && !code.form.querySelector("button").disabled) {
      last = digits;
      code.form.requestSubmit();
    }
  }
  function mark() {
    boxes.forEach((box, place) => box.classList.toggle("now", place === code.value.length));
    code.classList.toggle("full", code.value.length >= boxes.length);
  }
  code.addEventListener("input", (event) => event.isComposing || take());
  code.addEventListener("compositionend", take);
  mark();

  if ("OTPCredential" in window) {
    navigator.credentials.get({ otp: { transport: ["sms"] }, signal: sms.signal }).then((found) => {
      if (!found) return; // as credentials.get may answer
      code.value = found.code;
      take();
    }, () => {}); // refused, or none came
  }
}

// Times are reckoned from one moment, as timers pause while a phone sleeps. Server and page may differ by their trip.
const start = Date.now();
const left = (seconds) => Math.max(0, Math.ceil(seconds - (Date.now() - start) / 1000));

function duration(seconds, units) {
  const [size, unit] = seconds < 120 ? [1, units[0]] : seconds < 7200 ? [60, units[1]] : [3600, units[2]];
  return `${Math.ceil(seconds / size)} ${unit}`;
}

for (const wait of document.querySelectorAll(".wait")) {
  const time = wait.querySelector("[data-seconds]");
  const button = wait.closest("form").querySelector("button");
  button.dataset.waits = button.disabled = true;
  const timer = setInterval(() => {
    const seconds = left(time.dataset.seconds);
    time.textContent = duration(seconds, time.dataset.units.split(","));
    if (seconds) return;
    clearInterval(timer);
    delete button.dataset.waits;
    button.disabled = isSent;
    wait.nextElementSibling.textContent = wait.nextElementSibling.dataset.text; // is read out, once
    wait.remove();
  }, 1000);
}

const life = document.querySelector("[data-life]");
if (life) {
  const timer = setInterval(() => {
    if (left(life.dataset.life)) return;
    clearInterval(timer);
    life.textContent = life.dataset.over;
  }, 1000);
}
