// The live picture on every page: clock, countdowns, figures; and pages made anew when something changed.
"use strict";
(() => {
  const QUIET_MS = 4000;
  const link = document.getElementById("link"), words = document.getElementById("link-words"), banner = document.getElementById("banner");
  const london = (options) => new Intl.DateTimeFormat("en-GB", {timeZone: "Europe/London", ...options});
  const time = london({hour: "2-digit", minute: "2-digit", second: "2-digit"}), day = london({weekday: "short", day: "2-digit", month: "short"});
  let heardAt = 0, madeAt = 0, shown = null, waiting = false, refreshing = false, refusedFor = null;

  const number = (value) => (Math.abs(value - Math.round(value)) < 0.05 ? value.toFixed(0) : value.toFixed(1)).replace(/^-(?=0(\.0)?$)/, "").replace("-", "\u2212");
  const put = (element, text, unit) => {
    const line = unit ? `${text} ${unit}` : text;
    if (element.textContent === line) return;
    element.textContent = unit ? `${text} ` : text;
    if (unit) element.append(Object.assign(document.createElement("span"), {className: "unit", textContent: unit}));
  };
  const kw = (element, value) => value == null ? put(element, "–") : put(element, number(value), "kW");
  const pad = (value) => String(value).padStart(2, "0");
  const left = (seconds) => {
    if (seconds <= 0) return "closed";
    if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds % 3600 / 60))} min`;
    return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  };
  const age = (seconds) => seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min` : seconds >= 60 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds)} s`;

  const tell = (text, again) => {
    banner.textContent = text;
    banner.hidden = !text;
    if (again) {
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: "Show"});
      button.addEventListener("click", () => refresh(true));
      banner.append(button);
    }
  };
  const state = (name, text) => { link.dataset.state = name; words.textContent = text; };

  const show = (picture) => {
    const now = Date.parse(picture.now);
    put(document.getElementById("clock"), time.format(now));
    put(document.getElementById("clock-day"), day.format(now).replace(",", ""));
    for (const element of document.querySelectorAll("[data-until]")) {
      const seconds = Math.floor((Date.parse(element.dataset.until) - now) / 1e3);
      put(element, left(seconds));
      element.classList.toggle("soon", seconds < 900);
    }
    for (const element of document.querySelectorAll("[data-live=fleet_kw]")) kw(element, picture.fleet_kw);
    for (const element of document.querySelectorAll("[data-live=cycle]")) put(element, picture.cycle_age_s == null ? "no cycle yet" : age(picture.cycle_age_s));
    for (const element of document.querySelectorAll("[data-live-state]")) put(element, String(picture.states[element.dataset.liveState]));
    for (const zone of picture.zones) {
      const card = document.querySelector(`[data-zone="${CSS.escape(zone.zone)}"]`);
      for (const element of card?.querySelectorAll("[data-of]") ?? []) kw(element, zone[element.dataset.of]);
    }
    window.deskCharts.live(picture);
  };

  const busy = () => {
    const active = document.activeElement;
    const typed = [...document.querySelectorAll("main input:not([type=hidden]), main select")].some((one) => one.type === "checkbox" ? one.checked !== one.defaultChecked : one.tagName === "INPUT" && one.value !== one.defaultValue);
    return typed || active?.matches?.("main input:not([type=checkbox]), main select") || document.querySelector("dialog[open], .htmx-request");
  };
  const refresh = async (asked) => {
    if (busy() && !asked) {
      waiting = true;
      refusedFor = shown?.stamp;
      return tell("Something has changed since this was shown.", true);
    }
    waiting = false;
    refreshing = true;
    const focused = document.activeElement?.id || document.activeElement?.getAttribute?.("href");
    const opened = [...document.querySelectorAll("main details")].map((one) => one.open);
    try {
      await htmx.ajax("GET", location.pathname + location.search, {target: "#main", select: "#main", swap: asked ? "outerHTML" : "outerMorph"});
    } finally { refreshing = false; }
    document.querySelectorAll("main details").forEach((one, n) => { one.open = opened[n] ?? false; });
    tell("");
    if (focused && document.activeElement === document.body)
      (document.getElementById(focused) ?? document.querySelector(`main a[href="${CSS.escape(focused)}"]`))?.focus();
    after();
  };
  const after = () => { madeAt = Date.now(); window.deskCharts.drawFan(); if (shown) show(shown); };
  document.addEventListener("htmx:after:settle", () => {
    const flash = document.querySelector("main .flash");
    if (flash && document.activeElement === document.body) { flash.tabIndex = -1; flash.focus(); }
    after();
  });

  const heard = (event) => {
    shown = JSON.parse(event.data);
    heardAt = Date.now();
    state("live", "live");
    if (!waiting && !banner.hidden) tell("");
    show(shown);
    document.body.dataset.heard = String(Number(document.body.dataset.heard ?? 0) + 1);
    const made = document.getElementById("main").dataset.stamp;
    if (made && made !== shown.stamp && !refreshing && refusedFor !== shown.stamp) refresh(false);
    const everyMs = 1000 * Number(document.getElementById("main").dataset.every);  // what no stamp tells of
    if (everyMs && Date.now() - madeAt > everyMs && !refreshing && !busy()) refresh(false);
  };
  const cutOff = () => {
    heardAt = Date.now();
    state("lost", "no database");
    tell("The gateway's database does not answer: what you see may be old, and nothing can be done now.");
  };
  // Browsers keep six connections to a host: a tab that nobody sees lets go of its own.
  let source = null;
  const listen = () => {
    if (source !== null && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource("/v1/stream");
    source.addEventListener("live", heard);
    source.addEventListener("away", cutOff);
  };
  document.addEventListener("visibilitychange", () => {
    heardAt = Date.now();
    if (document.hidden) { source.close(); state("waiting", "paused"); } else listen();
  });
  listen();
  setInterval(() => {
    if (document.hidden || Date.now() - heardAt < QUIET_MS) return;
    state("lost", "not connected");
    tell(shown ? `Not connected: figures are from ${time.format(Date.parse(shown.now))}. Trying again.` : "Not connected. Trying again.");
    if (source.readyState === EventSource.CLOSED) location.reload();
  }, 1000);
  heardAt = Date.now();
  after();
})();
