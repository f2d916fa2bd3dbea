"use strict";
// The page works without this script. The script accepts only digits, and submits a complete code by itself.
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
  setTimeout(settle, 0, true); // disable the buttons after the browser has read the form
  setTimeout(settle, 20_000, false); // enable them again if no response comes
});
addEventListener("pageshow", (event) => event.persisted && settle(false));
// Browsers handle autofocus first, but in a frame only once. Set the focus if the browser did not.
requestAnimationFrame(() => setTimeout(() => {
  if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
}));

// Keep what was typed when the visitor switches the language, which reloads the page.
const TYPED = "otpkit.typed";
const fields = [...document.querySelectorAll("input:not([type=hidden], #captcha), select")];
const kept = () => JSON.stringify([location.pathname, ...fields.map((field) => field.id)]);
try { // Storage may be disabled.
  const [where, values] = JSON.parse(sessionStorage.getItem(TYPED)) ?? [];
  if (where === kept()) fields.forEach((field, place) => { field.value = values[place]; });
  sessionStorage.removeItem(TYPED);
  for (const link of document.querySelectorAll(".language")) link.addEventListener("click", () => {
    sessionStorage.setItem(TYPED, JSON.stringify([kept(), fields.map((field) => field.value)]));
  });
} catch {}

// Show the example of the chosen region.
const region = document.querySelector("#region"), example = document.querySelector("#example");
function exemplify() {
  const found = region.selectedOptions[0].dataset.example;
  example.hidden = !found;
  if (found) example.querySelector("b").textContent = found;
}
if (region && example) {
  region.addEventListener("change", exemplify);
  exemplify(); // The browser may have restored another choice.
}

if (code) {
  const boxes = [...code.parentElement.querySelectorAll("i")];
  let last = ""; // the code submitted last by this script: a wrong code is not submitted again

  const length = boxes.length;
  const group = "(\\d(?:[ -]?\\d)*)"; // digits as they are often written, such as 482 913
  const word =
    "验证码|驗證碼|校验码|校驗碼|动态码|動態碼|动态密码|動態密碼|动态口令|确认码|安全码|登录码|随机码|code|password|pin|otp";
  const after = new RegExp(`(?:${word})(?:\\s|[:：=#"'“”「」【】()（）]|is|为|為|是)*${group}`, "gi");
  const before = new RegExp(`${group}\\s*(?:is|为|為|是)[^\\d.,;，。；]{0,40}?(?:${word})`, "gi");

  function fold(text) { // Map digits of any script to 0-9, drop direction marks, unify blanks and hyphens.
    return text.normalize("NFKC").replace(/\p{Cf}/gu, "").replace(/\p{Pd}/gu, "-").replace(/\p{Nd}/gu, (digit) => {
      let zero = digit.codePointAt(0);
      while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
      return (digit.codePointAt(0) - zero) % 10;
    });
  }
  function codes(text, pattern) { // Find groups that have the length of a code, or runs of digits in them.
    const groups = [...text.matchAll(pattern)].map((match) => match[1]);
    return new Set(groups.flatMap((each) => {
      const whole = each.replace(/\D/g, "");
      return whole.length === length ? [whole] : each.split(/\D/).filter((run) => run.length === length);
    }));
  }

  // From a pasted message, take the code that the text names, else the only number of the right length. If several
  // numbers are possible, take none: a wrong number would count as a wrong code.
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
      if (!found) return; // credentials.get may return null
      code.value = found.code;
      take();
    }, () => {}); // refused, or no message came
  }
}

// Count from one moment, because timers pause while a phone sleeps. The network delay may add a small difference.
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
    wait.nextElementSibling.textContent = wait.nextElementSibling.dataset.text; // screen readers announce it once
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
