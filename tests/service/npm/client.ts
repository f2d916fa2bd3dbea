// Verifies a phone by a client that openapi-typescript made: `node client.js URL KEY PHONE`.
// The code is read from standard input; what was answered is printed as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[]; stdin: AsyncIterable<Uint8Array> };

type Problem = components["schemas"]["ProblemDocument"];

async function firstLine(): Promise<string> {
  for await (const chunk of process.stdin) {
    return new TextDecoder().decode(chunk).trim();
  }
  throw new Error("no code was given");
}

function required<T>(result: { data?: T; error?: Problem }): T {
  if (result.data === undefined) {
    throw new Error(`refused: ${result.error?.code}`);
  }
  return result.data;
}

const [baseUrl = "", key = "", phone = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

const challenge = required(
  await client.POST("/v1/challenges", {
    body: { phone, ip: "203.0.113.7", params: { product: "otpkit" } },
    params: { header: { "Idempotency-Key": "form-1" } },
  }),
);
const seconds: number = challenge.expires_in;
console.log("issued");

const code = await firstLine();
const wrong = code.replace(/./, (digit) => String((Number(digit) + 1) % 10));
const refused = await client.POST("/v1/verifications", { body: { phone, code: wrong } });
const left: number | undefined = refused.error?.attempts_left;
const proof = required(await client.POST("/v1/verifications", { body: { phone, code, region: "CN" } }));
const redeemed = required(await client.POST("/v1/proofs/redeem", { body: { token: proof.token, phone } }));

console.log(
  JSON.stringify({
    delivery: challenge.delivery,
    seconds,
    refused: refused.error?.code,
    left,
    phone: redeemed.phone,
    replayed: redeemed.replayed,
    verified: Date.parse(redeemed.verified_at),
  }),
);
