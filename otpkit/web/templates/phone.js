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
  for (const link of document.querySelectorAll(".language")) link.addEventListener("click", () => {
    sessionStorage.setItem(TYPED, JSON.stringify([kept(), fields.map((field) => field.value)]));
  });
} catch {}

if (code) {
  const boxes = [...code.parentElement.querySelectorAll("i")];
  let last = ""; // what was sent by itself: a code that was wrong is not sent again

  const length = boxes.length;
  const group = "(\\d(?:[ -]?\\d)*)"; // digits as they are written, such as 482 913
  const word = "验证码|驗證碼|校验码|校驗碼|动态码|動態碼|确认码|code|password|pin|otp";
  const after = new RegExp(`(?:${word})(?:\\s|[:：=#"'“”「」【】()（）]|is|为|為|是)*${group}`, "gi");
  const before = new RegExp(`${group}\\s*(?:is|为|為|是)[^\\d.,;，。；]{0,40}?(?:${word})`, "gi");

  function fold(text) { // digits of any script, ten in a row each; no marks of direction; one blank, one hyphen
    return text.normalize("NFKC").replace(/\p{Cf}/gu, "").replace(/\p{Pd}/gu, "-").replace(/\p{Nd}/gu, (digit) => {
      let zero = digit.codePointAt(0);
      while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
      return (digit.codePointAt(0) - zero) % 10;
    });
  }
  function codes(text, pattern) { // a group as a whole, or a run of digits in it
    const groups = [...text.matchAll(pattern)].map((match) => match[1]);
    return new Set(groups.flatMap((each) => {
      const whole = each.replace(/\D/g, "");
      return whole.length === length ? [whole] : each.split(/\D/).filter((run) => run.length === length);
    }));
  }

  // Of a whole message the code is taken: the one that the text names, else the only one that is as long. Where that
  // leaves a choice nothing is: another number would count as a wrong code.
  function read(text) {
    const plain = fold(text), digits = plain.replace(/\D/g, "");
    const named = new Set([...codes(plain, after), ...codes(plain, before)]);
    const found = named.size ? named : codes(plain, new RegExp(group, "g"));
    if (found.size) return { digits: found.size === 1 ? [...found][0] : "", isSure: true };
    const isMessage = digits.length > length && /\p{L}/u.test(plain);
    return { digits: isMessage ? "" : digits.slice(0, length), isSure: digits.length === length };
  }
  function take() {
    const { digits, isSure } = read(code.value);
    if (code.value !== digits) {
      const caret = read(code.value.slice(0, code.selectionStart)).digits.length;
      code.value = digits;
      code.setSelectionRange(caret, caret);
    }
    mark();
    if (digits.length < length) last = "";
    else if (isSure && digits !== last && !isSent && !code.form.querySelector("button").disabled) {
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
  const place = [120, 7200, 172800].filter((least) => seconds >= least).length;
  return units[place].replace("{n}", Math.ceil(seconds / [1, 60, 3600, 86400][place]));
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
