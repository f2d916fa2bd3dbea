// Run one of the providers' SDKs against a sandbox, and print what it returned as JSON.
"use strict";

const [name, baseUrl, secret = "sandbox-secret"] = process.argv.slice(2);
const endpoint = new URL(baseUrl).host;
const sms = {
  PhoneNumbers: "13800138000",
  SignName: "阿里 大鱼'*()!~",
  TemplateCode: "SMS_585014",
  TemplateParam: JSON.stringify({ code: "123456" }),
  OutId: "1234",
};
const batch = {
  PhoneNumberJson: JSON.stringify(["13800138000", "85251234567"]),
  SignNameJson: JSON.stringify(["一", "二"]),
  TemplateCode: "SMS_585014",
  TemplateParamJson: JSON.stringify([{ code: "111111" }, { code: "222222" }]),
};
const china = new Date(Date.now() + 8 * 3600 * 1000).toISOString().slice(0, 10).replaceAll("-", "");
const details = { PhoneNumber: "13800138000", SendDate: china, PageSize: 10, CurrentPage: 1 };

function keys(more = {}) {
  return { accessKeyId: "sandbox", accessKeySecret: secret, secretAccessKey: secret, apiVersion: "2017-05-25", ...more };
}

async function popCore(method, more) {
  const Core = require("@alicloud/pop-core");
  const client = new Core(keys({ endpoint: baseUrl, ...more }));
  return {
    send: await client.request("SendSms", sms, { method }),
    batch: await client.request("SendBatchSms", batch, { method }),
    details: await client.request("QuerySendDetails", details, { method }),
    call: await client.request("SingleCallByTts", { CalledNumber: "13800138000", TtsCode: "TTS_1", TtsParam: '{"code":"1"}' }, { method }),
  };
}

async function dysmsapiOfOld() {
  const Client = require("@alicloud/dysmsapi-2017-05-25");
  const client = new Client(keys({ endpoint: baseUrl }));
  return {
    send: await client.sendSms(sms),
    batch: await client.sendBatchSms(batch),
    details: await client.querySendDetails(details),
  };
}

function lowerFirst(fields) {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key[0].toLowerCase() + key.slice(1), value]));
}

async function dysmsapi() {
  const dysms = require("@alicloud/dysmsapi20170525");
  const client = new dysms.default({ ...keys(), endpoint, protocol: "http", toMap() { return this; } });
  const bodyOf = async (answer) => (await answer).body.toMap();
  return {
    send: await bodyOf(client.sendSms(new dysms.SendSmsRequest(lowerFirst(sms)))),
    batch: await bodyOf(client.sendBatchSms(new dysms.SendBatchSmsRequest(lowerFirst(batch)))),
    details: await bodyOf(client.querySendDetails(new dysms.QuerySendDetailsRequest(lowerFirst(details)))),
  };
}

async function tencent(signMethod, reqMethod) {
  const { sms: service } = require("tencentcloud-sdk-nodejs-sms");
  const client = new service.v20210111.Client({
    credential: { secretId: "sandbox", secretKey: secret },
    region: "ap-guangzhou",
    profile: { signMethod, httpProfile: { endpoint, protocol: "http://", reqMethod } },
  });
  const app = { SmsSdkAppId: "1400006666" };
  const send = await client.SendSms({
    ...app,
    PhoneNumberSet: ["+8613800138000", "+8613700137000"],
    TemplateId: "1110",
    SignName: "腾讯云",
    TemplateParamSet: ["123456", "5"],
    SessionContext: "send-1",
  });
  return {
    send,
    details: await client.PullSmsSendStatusByPhoneNumber({
      ...app,
      BeginTime: Math.floor(Date.now() / 1000) - 3600,
      Offset: 0,
      Limit: 100,
      PhoneNumber: "+8613800138000",
    }),
    pulled: await client.PullSmsSendStatus({ ...app, Limit: 10 }),
  };
}

async function tencentOfOld() {
  const { sms: service } = require("tencentcloud-sdk-nodejs-sms");
  const client = new service.v20190711.Client({
    credential: { secretId: "sandbox", secretKey: secret },
    region: "ap-guangzhou",
    profile: { httpProfile: { endpoint, protocol: "http://" } },
  });
  const app = { SmsSdkAppid: "1400006666" };
  const send = await client.SendSms({
    ...app,
    PhoneNumberSet: ["+8613800138000"],
    TemplateID: "1110",
    Sign: "腾讯云",
    TemplateParamSet: ["123456", "5"],
  });
  return { send, pulled: await client.PullSmsSendStatus({ ...app, Limit: 10 }) };
}

async function twilio(user) {
  const { Twilio, RequestClient } = require("twilio");
  const http = new RequestClient();
  const httpClient = { request: (options) => http.request({ ...options, uri: options.uri.replace("https://api.twilio.com", baseUrl) }) };
  const client = new Twilio(user, secret, { accountSid: "ACsandbox", httpClient });
  const message = await client.messages.create({ to: "+8613800138000", from: "+15005550006", body: "Your code is 012345." });
  const call = await client.calls.create({ to: "+85251234567", from: "+15005550006", twiml: "<Response><Say>0, 1, 2</Say></Response>" });
  return {
    send: { sid: message.sid, status: message.status },
    call: { sid: call.sid, status: call.status },
    details: { status: (await client.messages(message.sid).fetch()).status, call: (await client.calls(call.sid).fetch()).status },
  };
}

const clients = {
  "pop-core GET": () => popCore("GET"),
  "pop-core POST": () => popCore("POST"),
  "pop-core with a token": () => popCore("POST", { securityToken: "CAIS+the/token==" }),
  "dysmsapi-2017-05-25": dysmsapiOfOld,
  dysmsapi20170525: dysmsapi,
  "tencent TC3 POST": () => tencent("TC3-HMAC-SHA256", "POST"),
  "tencent TC3 GET": () => tencent("TC3-HMAC-SHA256", "GET"),
  "tencent HmacSHA256 POST": () => tencent("HmacSHA256", "POST"),
  "tencent HmacSHA1 GET": () => tencent("HmacSHA1", "GET"),
  "tencent 2019-07-11": tencentOfOld,
  twilio: () => twilio("ACsandbox"),
  "twilio with an API key": () => twilio("SKsandbox"),
};

clients[name]().then(
  (result) => console.log(JSON.stringify(result)),
  (error) => console.log(JSON.stringify({ error: String(error.code), message: String(error.message) })),
);
