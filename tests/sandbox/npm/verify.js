// Verify a phone by Twilio's SDK, whose only change is the base URL. Codes are read from standard input, one a line.
"use strict";

const { createInterface } = require("node:readline");
const { Twilio } = require("twilio");

const [baseUrl, account, token, serviceSid, phone] = process.argv.slice(2);
const client = new Twilio(account, token);
client.verify.baseUrl = baseUrl;
const service = client.verify.v2.services(serviceSid);

async function main() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const refused = (error) => ({ status: error.status, code: error.code, moreInfo: error.moreInfo });
  const started = await service.verifications.create({ to: phone, channel: "sms" });
  console.log("started");
  const code = (await lines.next()).value;
  const wrong = await service.verificationChecks.create({ to: phone, code: code === "000000" ? "111111" : "000000" });
  const fetched = await service.verifications(started.sid).fetch();
  const approved = await service.verificationChecks.create({ verificationSid: started.sid, code });
  const ended = await service.verificationChecks.create({ to: phone, code }).catch(refused);
  const email = await service.verifications.create({ to: "a@example.com", channel: "email" }).catch(refused);
  const factors = await service.newFactors.create({ identity: "someone-1", friendlyName: "a", factorType: "totp" }).catch(refused);
  console.log(
    JSON.stringify({
      started: [started.status, started.valid, started.to, started.channel],
      dated: started.dateCreated instanceof Date && !Number.isNaN(started.dateCreated.getTime()),
      wrong: [wrong.status, wrong.valid],
      fetched: [fetched.status, fetched.sid === started.sid],
      approved: [approved.status, approved.valid, approved.sid === started.sid],
      ended,
      email,
      factors,
    }),
  );
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
