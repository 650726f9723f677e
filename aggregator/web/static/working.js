// A page that waits for something that is worked on is made anew until it is there; who types is not interrupted.
"use strict";
(() => {
  const EVERY_MS = 1200;
  setInterval(() => {
    if (document.hidden || !document.querySelector("[data-working]") || document.querySelector(".htmx-request")) return;
    if (document.activeElement?.matches?.("main input:not([type=checkbox]), main select")) return;
    htmx.ajax("GET", location.pathname + location.search, {target: "#main", select: "#main", swap: "outerMorph"});
  }, EVERY_MS);
})();
