// The sandbox's Turnstile: `turnstile.render` shows a frame of the sandbox with a checkbox, whose answer is right there.
"use strict";
{
  const { origin } = new URL(document.currentScript.src);
  const widgets = [];
  window.turnstile = {
    render(container, options) {
      const place = typeof container === "string" ? document.querySelector(container) : container;
      const frame = document.createElement("iframe");
      const query = new URLSearchParams({
        site_key: options.sitekey, action: options.action ?? "", hostname: location.hostname,
        language: options.language ?? navigator.language,
      });
      frame.src = `${origin}/turnstile/frame?${query}`;
      frame.title = "Cloudflare Turnstile";
      const isCompact = options.size === "compact";
      frame.width = isCompact ? 150 : 300;
      frame.height = isCompact ? 140 : 65;
      place.append(frame);
      addEventListener("message", (event) => {
        if (event.origin !== origin || event.source !== frame.contentWindow) return;
        if (event.data.answer) options.callback?.(event.data.answer);
        else options["error-callback"]?.("sandbox");
      });
      return String(widgets.push(frame) - 1);
    },
    reset(id) { widgets[id ?? 0].contentWindow.location.replace(widgets[id ?? 0].src); },
    remove(id) { widgets[id].remove(); },
  };
}
