// The live picture on every page: clock, countdowns, figures; and pages made anew when something changed.
"use strict";
(() => {
  const QUIET_MS = 3000, LOOK_MS = 250, DEAF_MS = 15000;
  const link = document.getElementById("link"), words = document.getElementById("link-words"), banner = document.getElementById("banner");
  const london = (options) => new Intl.DateTimeFormat("en-GB", {timeZone: "Europe/London", ...options});
  const time = london({hour: "2-digit", minute: "2-digit", second: "2-digit"}), day = london({weekday: "short", day: "2-digit", month: "short"}), hour = london({hour: "2-digit", minute: "2-digit"});
  let heardAt = 0, madeAt = 0, shown = null, pace = 0, lastId = "", lost = false, refreshing = false, refusedFor = null;

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
    if (seconds < 0) return "closed";
    if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds % 3600 / 60))} min`;
    return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  };
  const age = (seconds) => seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min` : seconds >= 60 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds)} s`;

  // What the banner is about: "lost", "again", "changed" or nothing; what is lost outdoes the rest.
  const tell = (about, text = "") => {
    banner.dataset.about = about;
    if (banner.firstChild?.data !== text) banner.textContent = text;
    banner.hidden = !text;
    if (about !== "changed" || banner.childElementCount) return;
    const button = Object.assign(document.createElement("button"), {type: "button", textContent: "Show"});
    button.addEventListener("click", () => refresh(true));
    banner.append(button);
  };
  const state = (name, text) => { link.dataset.state = name; put(words, text); };

  // Countdowns go on where nothing is heard, as fast as time last passed. What a gate ends, it ends here, too.
  const count = (now) => {
    let closed = false;
    for (const element of document.querySelectorAll("[data-until]")) {
      const milliseconds = Date.parse(element.dataset.until) - now;
      put(element, milliseconds > 0 ? left(Math.floor(milliseconds / 1e3)) : left(-1));
      element.classList.toggle("soon", milliseconds < 9e5);
      closed ||= milliseconds <= 0;
    }
    for (const element of document.querySelectorAll("[data-gate]")) if (Date.parse(element.dataset.gate) <= now) shut(element);
    return closed;
  };
  const shut = (element) => {
    if (element.type === "checkbox") { element.checked = false; element.disabled = true; return; }
    const text = `The gate closed at ${hour.format(Date.parse(element.dataset.gate))}: this cannot be done any more.`;
    if (element.matches("p")) return put(element, text);
    const button = element.querySelector("button:not([hidden])");
    if (!button) return;
    const why = Object.assign(document.createElement("p"), {id: button.id.replace(/^do-/, "cannot-"), className: "cannot", tabIndex: -1, textContent: text});
    button.after(why);
    if (document.activeElement === button) why.focus();
    button.hidden = true;
    if (!typed().some((field) => element.contains(field))) for (const label of element.querySelectorAll("label")) label.hidden = true;
  };

  const show = (picture) => {
    const now = Date.parse(picture.now);
    put(document.getElementById("clock"), time.format(now));
    put(document.getElementById("clock-day"), day.format(now).replace(",", ""));
    for (const element of document.querySelectorAll("[data-live=fleet_kw]")) kw(element, picture.fleet_kw);
    for (const element of document.querySelectorAll("[data-live=cycle]")) put(element, picture.cycle_age_s == null ? "no cycle yet" : age(picture.cycle_age_s));
    for (const element of document.querySelectorAll("[data-live-state]")) put(element, String(picture.states[element.dataset.liveState]));
    for (const element of document.querySelectorAll("[data-live-cars]")) put(element, picture.states[element.dataset.liveCars] === 1 ? "car" : "cars");
    for (const element of document.querySelectorAll("[data-live=half-hour]")) put(element, picture.half_hour);
    for (const zone of picture.zones) {
      const card = document.querySelector(`[data-zone="${CSS.escape(zone.zone)}"]`);
      for (const element of card?.querySelectorAll("[data-of]") ?? []) kw(element, zone[element.dataset.of]);
      for (const element of card?.querySelectorAll("[data-heard]") ?? []) put(element, `${zone.cars} ${zone.cars === 1 ? "car" : "cars"} heard of`);
      for (const element of card?.querySelectorAll("[data-if]") ?? []) element.hidden = zone[element.dataset.if] == null;
    }
    window.deskCharts.live(picture);
    return count(now);
  };

  const typed = () => [...document.querySelectorAll("main input:not([type=hidden])")].filter((one) => one.type === "checkbox" ? one.checked !== one.defaultChecked : one.value !== one.defaultValue);
  // What somebody typed outlives a page made anew; a tick only where it still means the same.
  let kept = [];
  const keep = () => { kept = typed().filter((one) => one.id).map((one) => ({id: one.id, value: one.value, checked: one.checked})); };
  const bringBack = () => {
    for (const {id, value, checked} of kept) {
      const field = document.getElementById(id);
      if (field?.type !== "checkbox") { if (field) field.value = value; }
      else if (field.value === value) field.checked = checked;
    }
    kept = [];
  };
  const busy = () => {
    const active = document.activeElement;
    return typed().length || active?.matches?.("main input:not([type=checkbox]), main select") || document.querySelector("dialog[open], .htmx-request");
  };
  // Where the focus is: an element with an id, or what is in one (a row of a table), or a link.
  const focusNow = () => {
    const active = document.activeElement;
    return active?.closest("main") && {id: active.closest("main [id]")?.id, href: active.getAttribute("href")};
  };
  const focusOn = (place) => {
    if (!place || document.activeElement !== document.body) return;
    const home = place.id && (document.getElementById(place.id) ?? document.getElementById(place.id.replace(/^do-/, "cannot-")));
    const link = place.href && (home || document).querySelector(`a[href="${CSS.escape(place.href)}"]`);
    const itself = home?.matches("a, button, input, select, summary, [tabindex]") ? home : home?.querySelector("a, button, input, summary");
    (link || itself)?.focus();
  };
  const path = () => {
    const query = new URLSearchParams(location.search), did = document.getElementById("told").dataset.did;
    if (did) query.set("did", did);
    return `${location.pathname}?${query}`;
  };
  // Whether what the page is about is still as shown: a bid's page says so of its bid, others of nothing.
  const isSame = async () => {
    const own = document.getElementById("main").dataset.own;
    if (!own) return false;
    const answer = await fetch(path(), {headers: {Accept: "text/html"}}).then((found) => found.text()).catch(() => "");
    return new DOMParser().parseFromString(answer, "text/html").getElementById("main")?.dataset.own === own;
  };
  const refresh = async (asked) => {
    if (busy() && !asked) {
      refusedFor = shown?.stamp;
      if (await isSame()) return;
      return tell("changed", "Something has changed since this was shown; what you typed is kept.");
    }
    refreshing = true;
    const focused = focusNow(), opened = new Map([...document.querySelectorAll("main details")].map((one, n) => [one.id || n, one.open]));
    keep();
    try {
      await htmx.ajax("GET", path(), {target: "#main", select: "#main", swap: asked ? "outerHTML" : "outerMorph"});
    } finally { refreshing = false; }
    document.querySelectorAll("main details").forEach((one, n) => { one.open = opened.get(one.id || n) ?? false; });
    if (banner.dataset.about === "changed") tell("");
    bringBack();
    focusOn(focused);
    after();
  };
  const after = () => { madeAt = Date.now(); window.deskCharts.drawFan(); if (shown) show(shown); };
  document.addEventListener("htmx:before:request", () => { if (!refreshing) keep(); });
  document.addEventListener("htmx:after:settle", () => {
    if (refreshing) return;
    const told = document.querySelector("#told .flash");  // stays until the next action or page; a refresh leaves it
    if (told?.matches(".good")) kept = [];
    bringBack();
    if (told) { told.tabIndex = -1; told.focus(); }
    after();
  });

  // A field's own words, beside it; and what was said of other figures goes once others are typed.
  document.addEventListener("invalid", ({target}) => { if (target.validity.patternMismatch) target.setCustomValidity(target.title); }, true);
  document.addEventListener("input", ({target}) => {
    target.setCustomValidity?.("");
    if (target.form?.id === "amend-form") document.getElementById("effect")?.remove();
  });

  const heard = (event) => {
    const before = shown && Date.parse(shown.now), seconds = (Date.now() - heardAt) / 1e3;
    shown = JSON.parse(event.data);
    if (before && seconds > 0.5) pace = Math.max(0, Date.parse(shown.now) - before) / seconds;
    heardAt = Date.now();
    lastId = event.lastEventId;
    state("live", "live");
    if (lost) back();
    const closed = show(shown);
    document.body.dataset.heard = String(Number(document.body.dataset.heard ?? 0) + 1);
    const made = document.getElementById("main").dataset.stamp;
    if (made && (closed || made !== shown.stamp) && !refreshing && refusedFor !== shown.stamp) refresh(false);
    const everyMs = 1000 * Number(document.getElementById("main").dataset.every);  // what no stamp tells of
    if (everyMs && Date.now() - madeAt > everyMs && !refreshing && !busy()) refresh(false);
  };
  let whole = true;
  const missed = (event) => {
    const past = JSON.parse(event.data);
    whole = past.whole;
    window.deskCharts.past(past, lastId && !whole);
  };
  const back = () => {
    lost = false;
    const said = whole ? "Connected again; nothing was missed." : "Connected again after a restart or a long break: charts show what was missed in five-minute steps, and a gap where nothing was metered.";
    tell("again", said);
    setTimeout(() => { if (banner.dataset.about === "again") tell(""); }, 6000);
  };
  const lose = (word, text) => {
    lost = true;
    refusedFor = null;
    state("lost", word);
    tell("lost", text);
  };
  const cutOff = (event) => {
    heardAt = Date.now();
    lastId = event.lastEventId;
    lose("no database", "The gateway's database does not answer: what you see may be old, and nothing can be done now.");
  };
  // Browsers keep six connections to a host: a tab that nobody sees lets go of its own, and catches up later.
  // Live asks for the last minutes, too.
  let source = null;
  const listen = () => {
    source?.close();
    const wanted = lastId || document.body.dataset.page === "live";
    source = new EventSource(wanted ? `/v1/stream?after=${encodeURIComponent(lastId)}` : "/v1/stream");
    source.addEventListener("past", missed);
    source.addEventListener("live", heard);
    source.addEventListener("away", cutOff);
    askedAt = Date.now();
  };
  let askedAt = 0;
  document.addEventListener("visibilitychange", () => {
    heardAt = Date.now();
    if (document.hidden) { source.close(); state("waiting", "paused"); } else listen();
  });
  listen();
  setInterval(() => {
    const quiet = Date.now() - heardAt;
    if (document.hidden || quiet < QUIET_MS) return;
    lose("not connected", shown ? `Not connected: figures are from ${time.format(Date.parse(shown.now))}. Trying again.` : "Not connected. Trying again.");
    if (shown) count(Date.parse(shown.now) + quiet / 1e3 * pace);
    if (source.readyState === EventSource.CLOSED) location.reload();
    else if (Date.now() - askedAt > DEAF_MS && quiet > DEAF_MS) listen();  // a line that is dead does not say so
  }, LOOK_MS);
  heardAt = Date.now();
  after();
})();
