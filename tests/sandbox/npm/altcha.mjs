// Solve a challenge with altcha-lib, in the format that it has, and verify the solution with its key.
import { readFileSync } from "node:fs";
import * as v1 from "altcha-lib/v1";
import { solveChallenge, verifySolution } from "altcha-lib";
import { deriveKey } from "altcha-lib/algorithms/sha";

const { challenge, key } = JSON.parse(readFileSync(0, "utf8"));
let payload, verified;
if (challenge.parameters) {
  const solution = await solveChallenge({ challenge, deriveKey });
  payload = { challenge, solution };
  verified = (await verifySolution({ challenge, solution, deriveKey, hmacSignatureSecret: key })).verified;
} else {
  const { algorithm, challenge: hash, salt, signature, maxnumber } = challenge;
  const { number } = await v1.solveChallenge(hash, salt, algorithm, maxnumber).promise;
  payload = { algorithm, challenge: hash, number, salt, signature };
  verified = await v1.verifySolution(payload, key);
}
console.log(JSON.stringify({ payload: Buffer.from(JSON.stringify(payload)).toString("base64"), verified }));
