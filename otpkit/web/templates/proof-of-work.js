"use strict";
// Solve a proof of work, ALTCHA's format 1, in a worker made from this script. Nothing is loaded or sent.
//
// `challenge` is that of the captcha's parameters. `onProgress` gets the share of all numbers that was tried, 0 to 1,
// about ten times a second. `signal`, an AbortSignal, stops the work. Returns a promise of the answer: the text for the
// form field. It rejects if the browser has no worker, or the challenge has no solution.
// The page's Content-Security-Policy needs `worker-src blob:`.
function solveProofOfWork(challenge, onProgress = () => {}, signal = undefined) {
  return new Promise((resolve, reject) => {
    const source = new Blob([`(${proofOfWorkWorker})();`], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    const worker = new Worker(url);
    const settle = (how, value) => {
      worker.terminate();
      URL.revokeObjectURL(url);
      how(value);
    };
    worker.addEventListener("error", () => settle(reject, new Error("The proof of work could not run.")));
    signal?.addEventListener("abort", () => settle(reject, signal.reason));
    worker.addEventListener("message", ({ data }) => {
      if (data.progress !== undefined) return onProgress(data.progress);
      if (data.number === undefined) return settle(reject, new Error("The proof of work has no solution."));
      onProgress(1);
      const { algorithm, challenge: hash, salt, signature } = challenge;
      settle(resolve, btoa(JSON.stringify({ algorithm, challenge: hash, number: data.number, salt, signature })));
    });
    worker.postMessage({ salt: challenge.salt, hash: challenge.challenge, most: challenge.maxnumber });
  });
}

// The worker: find the number whose SHA-256 after the salt is the challenge (FIPS 180-4). Whole blocks of the salt are
// hashed once; the digits are counted up in place.
function proofOfWorkWorker() {
  const BLOCK = 64;
  const REPORT_MS = 100;
  const CHUNK = 8192; // numbers between two looks at the clock
  const [K, START] = constants();

  function constants() {
    const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
    const primes = [];
    for (let each = 2; primes.length < 64; each++) {
      if (primes.every((prime) => each % prime)) primes.push(each);
    }
    return [
      Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime))),
      Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime))),
    ];
  }

  const words = new Int32Array(64);

  function compress(state, bytes, from) {
    for (let i = 0; i < 16; i++) {
      const at = from + 4 * i;
      words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15], y = words[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
    let a = state[0], b = state[1], c = state[2], d = state[3];
    let e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  }

  function solve({ salt, hash, most }) {
    const text = new TextEncoder().encode(salt);
    const whole = text.length - (text.length % BLOCK);
    const middle = START.slice();
    for (let at = 0; at < whole; at += BLOCK) compress(middle, text, at);
    const target = Int32Array.from({ length: 8 }, (_, i) => parseInt(hash.slice(8 * i, 8 * i + 8), 16) | 0);
    const rest = text.subarray(whole);
    const state = new Int32Array(8);
    let tail, end, blocks; // The last block or two: the rest of the salt, the digits, the padding.

    function lay(digits) {
      end = rest.length + digits;
      blocks = end + 9 > BLOCK ? 2 : 1;
      tail = new Uint8Array(blocks * BLOCK);
      tail.set(rest);
      tail.fill(0x30, rest.length, end);
      tail[end] = 0x80;
      new DataView(tail.buffer).setUint32(tail.length - 4, (whole + end) * 8);
    }

    let reported = performance.now();
    lay(1);
    for (let number = 0; number <= most; number++) {
      state.set(middle);
      compress(state, tail, 0);
      if (blocks === 2) compress(state, tail, BLOCK);
      if (state[0] === target[0] && target.every((word, i) => word === state[i])) return number;
      let at = end - 1;
      while (at >= rest.length && tail[at] === 0x39) tail[at--] = 0x30;
      if (at >= rest.length) tail[at]++;
      else {
        lay(end - rest.length + 1);
        tail[rest.length] = 0x31;
      }
      if (number % CHUNK === 0 && performance.now() - reported > REPORT_MS) {
        reported = performance.now();
        self.postMessage({ progress: number / (most + 1) });
      }
    }
    return undefined;
  }

  self.addEventListener("message", ({ data }) => self.postMessage({ number: solve(data) }));
}
