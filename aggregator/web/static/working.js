// A page that waits for something that is worked on is made anew until it is there; who types is not interrupted.
"use strict";
(() => {
  const EVERY_MS = 1200;
  setInterval(() => {
    if (document.hidden || !document.querySelector("[data-working]") || document.querySelector(".htmx-request")) return;
    if (document.activeElement?.matches?.("main input:not([type=checkbox]), main select")) return;
    window.deskAnew();
  }, EVERY_MS);
})();
