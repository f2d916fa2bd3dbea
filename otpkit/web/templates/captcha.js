// Show the captcha of this page, and put its answer into the form. Each provider's widget is used as its documents say.
{
  const box = document.querySelector("[data-captcha]");
  const parameters = JSON.parse(box.dataset.captcha), texts = JSON.parse(box.dataset.texts);
  const form = box.closest("form"), answer = box.querySelector("[name=captcha]");
  const place = box.querySelector(".widget"), status = box.querySelector("[role=status]");
  const { nonce } = document.currentScript, language = document.documentElement.lang;
  box.querySelector(".unscripted").remove();
  const isChinese = language.startsWith("zh");
  const size = place?.clientWidth < 305 ? "compact" : "normal"; // The widgets are some 300 pixels wide.
  let isWanted = false; // True if the form is to be sent as soon as there is an answer.
  let ask; // Opens the captcha, for those that open only when the form is sent.

  const say = (text) => { status.textContent = text ?? ""; }; // Screen readers announce it once.

  function solved(text) {
    answer.value = text;
    say(texts.done);
    if (isWanted) setTimeout(() => form.requestSubmit()); // A form can't be sent while it handles `submit`.
  }
  function expired() {
    answer.value = "";
    say(texts.expired);
  }
  function failed() {
    isWanted = false;
    answer.value = "";
    say(texts.failed);
  }

  function load(source, settings = {}) {
    const url = new URL(source);
    for (const [name, value] of Object.entries(settings)) url.searchParams.set(name, value);
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = url;
      script.addEventListener("load", resolve);
      script.addEventListener("error", reject);
      document.head.append(script);
    });
  }

  const widgets = {
    async "proof-of-work"() {
      const progress = box.querySelector("progress");
      box.querySelector(".work").hidden = false;
      solved(await solveProofOfWork(parameters.challenge, (share) => { progress.value = share; }));
    },
    async turnstile() {
      await load(parameters.script, { render: "explicit" });
      turnstile.render(place, {
        sitekey: parameters.site_key, action: parameters.action, language, size, "response-field": false,
        callback: solved, "expired-callback": expired, "error-callback": failed,
      });
    },
    async hcaptcha() {
      await load(parameters.script, { render: "explicit", hl: language });
      hcaptcha.render(place, {
        sitekey: parameters.site_key, size, callback: solved, "expired-callback": expired, "error-callback": failed,
      });
    },
    async recaptcha() {
      const isBox = parameters.version === "v2";
      await load(parameters.script, isBox ? { render: "explicit", hl: language } : {});
      const api = parameters.version === "enterprise" ? grecaptcha.enterprise : grecaptcha;
      await new Promise((resolve) => api.ready(resolve));
      if (isBox) {
        api.render(place, {
          sitekey: parameters.site_key, size, callback: solved, "expired-callback": expired, "error-callback": failed,
        });
      } else { // Its answer lives for two minutes, so it is asked for when the form is sent.
        ask = () => api.execute(parameters.site_key, { action: parameters.action }).then(solved, failed);
        if (isWanted) ask();
      }
    },
    async "tencent-captcha"() {
      await load(parameters.script);
      const callback = (found) => {
        if (found.ret === 0 && !found.errorCode) {
          solved(JSON.stringify({ ticket: found.ticket, randstr: found.randstr }));
        } else if (found.errorCode) failed();
      };
      const own = [parameters.app_id, callback, { userLanguage: isChinese ? "zh-cn" : "en" }];
      const captcha = new TencentCaptcha(...(parameters.script.includes("-global") ? [place, ...own] : own));
      ask = () => captcha.show();
    },
    async "aliyun-captcha"() {
      window.AliyunCaptchaConfig = { region: parameters.region, prefix: parameters.prefix };
      await load(parameters.script);
      place.id = "captcha-widget";
      form.querySelector("button").id = "captcha-send";
      initAliyunCaptcha({
        SceneId: parameters.scene_id, mode: "embed", element: "#captcha-widget", button: "#captcha-send",
        language: isChinese ? "cn" : "en", slideStyle: { width: place.clientWidth, height: 44 },
        success: solved, fail: () => say(texts.first), onError: failed, getInstance: () => {},
      });
    },
    async geetest() {
      await load(parameters.script);
      const settings = {
        captchaId: parameters.captcha_id, product: "popup", language: isChinese ? "zho" : "eng",
        nativeButton: { width: "100%", height: "44px" }, onError: failed,
      };
      initGeetest4(settings, (captcha) => {
        captcha.appendTo(place);
        captcha.onSuccess(() => solved(JSON.stringify(captcha.getValidate())));
        captcha.onError(failed);
      });
    },
  };

  // Two kinds need nothing from the visitor, who has asked for the code already: the form goes on by itself, unless the
  // visitor changes something first.
  const isQuiet = parameters.provider === "proof-of-work" || (parameters.version ?? "v2") !== "v2";
  const start = widgets[parameters.provider];
  if (start && !answer.value) {
    isWanted = isQuiet && "continues" in box.dataset;
    form.addEventListener("input", () => { isWanted = false; });
    form.addEventListener("submit", (event) => {
      if (answer.value) return;
      event.preventDefault(); // The form waits for the answer.
      event.stopPropagation();
      isWanted = isQuiet || Boolean(ask);
      say(isQuiet ? texts.waiting : texts.first);
      ask?.();
    });
    if (isWanted) say(texts.waiting);
    start().catch(failed);
  }
}
