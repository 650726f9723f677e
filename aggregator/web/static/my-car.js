// A driver's page: what the car does is shown anew twice a minute; forms are left as they are being filled in.
"use strict";
(() => {
  const EVERY_MS = 30_000;
  const banner = document.getElementById("banner");
  const tell = (text) => { banner.textContent = text; banner.hidden = !text; };
  let asking = false;

  const refresh = async () => {
    if (document.hidden || asking) return;
    asking = true;
    try {
      const answer = await fetch("/my-car", {headers: {Accept: "text/html"}});
      if (answer.redirected) return location.reload();  // signed out
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const fresh of page.querySelectorAll("[data-fresh]")) {
        const old = document.getElementById(fresh.id);
        if (!old || old.contains(document.activeElement) || old.innerHTML === fresh.innerHTML) continue;
        const opened = [...old.querySelectorAll("details")].map((one) => one.open);
        old.replaceWith(document.importNode(fresh, true));
        document.getElementById(fresh.id).querySelectorAll("details").forEach((one, n) => { one.open = opened[n] ?? false; });
      }
      tell("");
      document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
    } catch {
      tell(`Not connected: what you see is from ${document.getElementById("as-of").textContent}. Trying again.`);
    } finally { asking = false; }
  };
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
  window.addEventListener("online", refresh);
})();
