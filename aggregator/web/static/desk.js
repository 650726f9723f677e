// The live picture on every page: clock, countdowns, figures; and pages made anew when something changed.
"use strict";
(() => {
  const QUIET_MS = 3000, SHOWN_MS = 1000, LOOK_MS = 250, DEAF_MS = 15000;
  const link = document.getElementById("link"), words = document.getElementById("link-words"), banner = document.getElementById("banner");
  document.documentElement.classList.add("scripts");
  const london = (options) => new Intl.DateTimeFormat("en-GB", {timeZone: "Europe/London", ...options});
  const time = london({hour: "2-digit", minute: "2-digit", second: "2-digit"}), day = london({weekday: "short", day: "2-digit", month: "short"}), hour = london({hour: "2-digit", minute: "2-digit"});
  const me = document.body.dataset.person;
  let isOver = false, cut = false, turnedAway = false;
  let heardAt = 0, madeAt = 0, shown = null, pace = 0, lastId = "", lost = false, refreshing = false, refusedFor = null;

  const number = (value) => value.toFixed(1).replace(/^-(?=0(\.0)?$)/, "").replace("-", "\u2212");
  const put = (element, text, unit) => {
    const told = unit ? `\u00a0${unit}` : "";  // no line ends between a figure and its unit
    if (element.textContent === text + told) return;
    element.textContent = text;
    if (unit) element.append(Object.assign(document.createElement("span"), {className: "unit", textContent: told}));
  };
  const at = (milliseconds) => {
    const utc = new Date(milliseconds).toISOString().slice(0, 19);
    return Object.assign(document.createElement("time"), {dateTime: `${utc}Z`, title: `${utc.replace("T", " ")} UTC`, textContent: hour.format(milliseconds)});
  };
  const HALF_HOUR_MS = 18e5;
  const halfHour = (now) => [at(now - now % HALF_HOUR_MS), "–", at(now - now % HALF_HOUR_MS + HALF_HOUR_MS)];
  const kw = (element, value) => value == null ? put(element, "–") : put(element, number(value), "kW");
  const pad = (value) => String(value).padStart(2, "0");
  const left = (seconds) => {
    if (seconds < 0) return "closed";
    if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds % 3600 / 60))} min`;
    return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  };
  const age = (seconds) => seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min` : seconds >= 60 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds)} s`;

  // What the banner is about: "lost", "again", "changed", "draft" or nothing; what is lost outdoes the rest.
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
  // It is said once, above all that it ends; what somebody typed stays in sight.
  const shut = (element) => {
    if (element.type === "checkbox") {
      const bid = window.deskBids.ticked(element);
      if (bid) window.deskBids.untick(bid, "its gate closed at ", at(Date.parse(element.dataset.gate)));
      element.checked = false;
      element.disabled = true;
      return;
    }
    if (element.matches(".state")) { element.className = "state wait"; element.lastChild.data = "gate closed"; return; }
    const why = document.getElementById("cannot") ?? Object.assign(document.createElement("p"), {id: "cannot", className: "cannot", tabIndex: -1});
    if (!why.isConnected) {
      why.append("The gate closed at ", at(Date.parse(element.dataset.gate)), ": nothing can be decided any more.");
      element.closest(".actions").querySelector("h2").after(why);
    }
    const holds = typed().some((field) => element.contains(field)), button = element.querySelector("button");
    if (document.activeElement === button) why.focus();
    if (holds) { button.hidden = true; return; }
    element.hidden = true;
    if (element.previousElementSibling?.matches("h3")) element.previousElementSibling.hidden = true;
  };

  const show = (picture) => {
    const now = Date.parse(picture.now);
    put(document.getElementById("clock"), time.format(now));
    put(document.getElementById("clock-day"), day.format(now).replace(",", ""));
    for (const element of document.querySelectorAll("[data-live=fleet_kw]")) kw(element, picture.fleet_kw);
    for (const element of document.querySelectorAll("[data-live=cycle]")) put(element, picture.cycle_age_s == null ? "none yet" : `${age(picture.cycle_age_s)} ago`);
    for (const element of document.querySelectorAll("[data-live-state]")) put(element, String(picture.states[element.dataset.liveState]));
    for (const element of document.querySelectorAll("[data-live-cars]")) put(element, picture.states[element.dataset.liveCars] === 1 ? "car" : "cars");
    for (const element of document.querySelectorAll("[data-live=half-hour]")) if (element.textContent !== picture.half_hour) element.replaceChildren(...halfHour(now));
    for (const zone of picture.zones) {
      const card = document.querySelector(`[data-zone="${CSS.escape(zone.zone)}"]`);
      for (const element of card?.querySelectorAll("[data-of]") ?? []) kw(element, zone[element.dataset.of]);
      for (const element of card?.querySelectorAll("[data-heard]") ?? []) put(element, `${zone.cars} ${zone.cars === 1 ? "car" : "cars"} heard of`);
      for (const element of card?.querySelectorAll("[data-if]") ?? []) element.hidden = zone[element.dataset.if] == null;
      const state = zone.stopped ? card?.querySelector("h2 .state:not(.bad)") : null;
      if (state) {  // the page itself comes later, or not while there is no database
        state.className = "state bad";
        state.replaceChildren(state.firstElementChild, "stopped");
      }
    }
    window.deskCharts.live(picture);
    return count(now);
  };

  const typed = () => [...document.querySelectorAll("main input:not([type=hidden])")].filter((one) => one.type === "checkbox" ? one.checked !== one.defaultChecked : one.value !== one.defaultValue || one.ariaInvalid === "true");
  // What somebody typed outlives a page made anew; a tick only where it still means the same.
  let kept = [];
  const keep = () => { kept = typed().filter((one) => one.id).map((one) => ({id: one.id, value: one.value, checked: one.checked, bid: window.deskBids.ticked(one)})); };
  const bringBack = () => {
    for (const {id, value, checked, bid} of kept) {
      const field = document.getElementById(id);
      if (bid && field?.value !== value) window.deskBids.lost(bid);
      else if (field?.type !== "checkbox") { if (field) field.value = value; }
      else if (field.value === value) field.checked = checked;
    }
    kept = [];
  };
  // A form that asks for the page itself anew, such as an amendment's effect, takes along what stands in others.
  const ALONG = "flexloop-along";
  document.addEventListener("submit", ({target}) => {
    if (target.method !== "get") return;
    keep();
    const others = kept.filter(({id}) => !target.contains(document.getElementById(id)));
    sessionStorage.setItem(ALONG, JSON.stringify({me, path: location.pathname, others}));
  });
  const broughtAlong = () => {
    const {me: whose, path: where, others} = JSON.parse(sessionStorage.getItem(ALONG) ?? "{}");
    sessionStorage.removeItem(ALONG);
    if (whose !== me || where !== location.pathname) return;
    kept = others;
    bringBack();
  };
  const busy = () => {
    const active = document.activeElement;
    return typed().length || active?.matches?.("main input:not([type=checkbox]), main select") || document.querySelector("dialog[open]") || sending();
  };
  // Where the focus is: an element with an id, or what is in one (a row of a table), or a link.
  const focusNow = () => {
    const active = document.activeElement;
    return active?.closest("main") && {id: active.closest("main [id]")?.id, href: active.getAttribute("href")};
  };
  const focusOn = (place) => {
    if (!place || document.activeElement !== document.body) return;
    const homes = [place.id, ...(place.id?.startsWith("do-") ? [place.id.replace("do-", "cannot-"), "cannot"] : [])];
    const home = homes.map((id) => document.getElementById(id)).find(Boolean);
    const link = place.href && (home || document).querySelector(`a[href="${CSS.escape(place.href)}"]`);
    const itself = home?.matches("a, button, input, select, summary, [tabindex]") ? home : home?.querySelector("a, button, input, summary");
    (link || itself)?.focus();
  };
  const path = () => {
    const query = new URLSearchParams(location.search), did = document.getElementById("told").dataset.did;
    if (did) query.set("did", did);
    return `${location.pathname}?${query}`;
  };
  // The address keeps no word of what was done: a page that is loaded again does not tell it again.
  const forget = () => {
    const address = new URL(location.href);
    if (!address.searchParams.has("did")) return;
    address.searchParams.delete("did");
    history.replaceState(null, "", address);
  };
  const draftOf = (page) => ({...page.getElementById("draft")?.dataset});
  const newDraft = (before, now) => {
    if (!now.version || !before.version || now.version === before.version) return "";
    const changes = ["bid", "asks"].filter((one) => now[one] !== before[one]).map((one) => `${before[one]} \u2192 ${now[one]}`);
    return `Draft ${now.version} by ${now.by}${changes.length ? `: ${changes.join(", ")}` : ""}`;
  };
  const newFacts = (page) => {
    const [before, now] = [document, page].map((one) => [...one.querySelectorAll("[data-facts] li")].map((line) => line.textContent.trim().replace(/\s+/g, " ")));
    return now.filter((line) => !before.includes(line)).join("; ");
  };
  // What has changed of what the page is about, in words, or nothing: a bid's page tells it of its bid.
  const changed = async () => {
    const something = "Something has changed since this was shown", own = document.getElementById("main").dataset.own, isList = document.body.dataset.page === "bids";
    if (!own && !isList) return something;
    const answer = await fetch(path(), {headers: {Accept: "text/html"}}).then((found) => found.text()).catch(() => "");
    const page = new DOMParser().parseFromString(answer, "text/html"), over = page.getElementById("cannot");
    if (!page.getElementById("main")) return something;
    if (!own) return window.deskBids.changes(page);
    if (page.getElementById("main")?.dataset.own === own) return "";
    if (over && over.textContent !== document.getElementById("cannot")?.textContent) return over.textContent.replace(/\.$/, "");
    const [was, is] = [document, page].map((one) => one.querySelector(".under .state")?.textContent);
    const what = newDraft(draftOf(document), draftOf(page)) || (is !== was && is) || newFacts(page);
    return what ? `${something}: ${what}` : something;
  };
  const sending = () => document.querySelector(".htmx-request");
  const tellChange = async () => {
    const made = document.getElementById("main").dataset.stamp;
    refusedFor = shown?.stamp;
    const what = await changed();
    if (sending()) refusedFor = null;
    else if (what && made === document.getElementById("main").dataset.stamp) {
      const kinds = typed().map(({type}) => type === "checkbox" ? "ticked" : "typed");
      tell("changed", `${what}${kinds.length ? `; what you ${kinds.find((kind) => kind === "typed") ?? "ticked"} is kept` : ""}.`);
    }
  };
  const refresh = async (asked, swap = asked ? "outerHTML" : "outerMorph") => {
    if (busy() && !asked) return tellChange();
    refreshing = true;
    turnedAway = false;
    const before = draftOf(document), focused = focusNow(), opened = new Map([...document.querySelectorAll("main details")].map((one, n) => [one.id || n, one.open]));
    keep();
    try {
      await htmx.ajax("GET", path(), {target: "#main", select: "#main", swap});
    } finally { refreshing = false; }
    if (turnedAway) return;
    if (said && !said.isConnected) stays();
    document.querySelectorAll("main details").forEach((one, n) => { one.open = opened.get(one.id || n) ?? false; });
    const news = newDraft(before, draftOf(document));
    if (banner.dataset.about === "changed") tell(""); else if (news && !isOver) tell("draft", `${news}.`);
    bringBack();
    focusOn(focused);
    after();
  };
  const after = () => { madeAt = Date.now(); window.deskCharts.drawFan(); if (shown) show(shown); };
  let sent = [];  // ids of what is in the form that goes out: once it is done, that is done with
  document.addEventListener("htmx:before:request", ({detail}) => {
    if (refreshing) return;
    keep();
    sent = kept.filter(({id}) => document.getElementById(id).form === (detail.ctx.sourceElement.form ?? detail.ctx.sourceElement)).map(({id}) => id);
  });
  document.addEventListener("htmx:after:settle", () => {
    if (refreshing) return;
    const told = document.querySelector("#told .flash");  // stays until the next action or page; a refresh leaves it
    said = null;
    if (isOver) goOn();
    tell("");
    window.deskBids.forget();
    if (told?.matches(".good, .stopped")) kept = kept.filter(({id}) => !sent.includes(id));
    for (const one of kept) if (sent.includes(one.id)) one.bid = null;  // the answer tells of it
    bringBack();
    document.querySelector("main [aria-invalid=true]")?.focus();
    if (told) { told.tabIndex = -1; told.focus(); }
    after();
  });

  // What came of a form, said above a page that stays as it is, with all that was typed; what was told before is past.
  let said = null;
  const stays = () => {
    const told = document.getElementById("told");
    told.replaceChildren(said);
    told.dataset.did = "";
    told.toggleAttribute("hx-morph-skip", true);
  };
  const say = (text, label = "Not done") => {
    const one = Object.assign(document.createElement("p"), {id: "said", className: "flash bad", tabIndex: -1, textContent: `${text[0].toUpperCase()}${text.slice(1)}. ${typed().length ? "What you typed is kept." : ""}`});
    one.setAttribute("role", "alert");
    one.prepend(Object.assign(document.createElement("strong"), {textContent: label}), " ");
    said = one;
    stays();
    one.focus();
  };
  const NOT_ANSWERED = "Not answered";
  // What was said before a break says nothing of how things stand after it.
  const isPast = () => {
    if (!said || said.matches(".past")) return;
    said.classList.replace("bad", "past");
    said.firstChild.textContent = `Before the connection was back: ${said.firstChild.textContent.toLowerCase()}`;
  };
  // A session that ended under the page, or is somebody else's by now: nothing is swapped in, nothing goes on in
  // another's name, and what was typed waits for whoever typed it.
  const over = (whose, sent) => {
    if (!sent && !typed().length) return location.reload();
    isOver = true;
    source.close();
    state("lost", "signed out");
    const still = typed().length ? " What you typed is kept here." : "", asOf = shown ? ` Figures are from ${time.format(Date.parse(shown.now))}.` : "";
    const link = Object.assign(document.createElement("a"), whose ? {href: location.href, textContent: `Go on as ${whose}`} : {href: `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`, textContent: "Sign in in another tab", target: "_blank", rel: "noopener"});
    tell("lost", whose ? `${whose} has signed in in this browser; this page is ${me}'s.${sent ? " Nothing was done." : ""}${still}${asOf}` : `Your session is over${sent ? ": nothing was done" : ""}.${still}${still ? " Sign in, then come back to this page." : ""}${asOf}`);
    if (!banner.childElementCount) banner.append(" ", link);
    if (sent) link.focus();
  };
  const goOn = () => {
    isOver = lost = false;
    heardAt = Date.now();
    listen();
  };
  const comeBack = async (sent) => {
    await refresh(true);
    if (turnedAway) return;
    goOn();
    again("Signed in again; what you typed is kept.");
    if (sent) say("you have signed in again since: press again to send", "Not sent");
  };
  // Only pages of who looks here are swapped in, and of refused forms only those that show the fields again.
  const SHOWN_AGAIN = 422, NOT_MEANT = 403, HELD = 202;
  document.addEventListener("htmx:after:request", (event) => {
    const {text, response: {status}, request: {method}} = event.detail.ctx;
    const page = new DOMParser().parseFromString(text, "text/html"), main = page.getElementById("main");
    const whose = main?.dataset.person, sent = method === "POST";
    const isMine = whose === me;
    if (isMine && status !== HELD && (status < 400 || !sent || status === SHOWN_AGAIN)) return;
    event.preventDefault();
    turnedAway = true;
    if (!isMine && status !== HELD && (whose || status < 500)) return over(whose, sent);
    if (!sent) return;
    const told = page.getElementById("refused-detail"), why = told?.textContent || "nothing was done: the gateway did not answer as it should";
    if (status === NOT_MEANT && isOver) comeBack(true);
    else if (status === NOT_MEANT) refresh(true).then(() => { if (!isOver) say(why); }); else say(why, told?.dataset.label);
  });
  const STOP_ELSEWHERE = ` Without the gateway cars end discharging by themselves within 120 s; where only this browser is cut off from it, flexloop stop --as ${me} --reason WHY stops them, in a shell beside it`;
  document.addEventListener("htmx:error", (event) => {
    const {method, action} = event.detail.ctx?.request ?? {};
    if (method === "POST") say(`the gateway does not answer: whether this was done is not known; sent again, it is done once${action.endsWith("/v1/stops") ? `.${STOP_ELSEWHERE}` : ""}`, NOT_ANSWERED);
  });

  // Nor, while the line is lost, of now: what the gateway said tells when, as figures do.
  const isDated = () => {
    for (const one of document.querySelectorAll("#told [data-at]:not(.past)")) {
      one.classList.add("past");
      one.firstChild.textContent = `As of ${time.format(Date.parse(one.dataset.at))}: ${one.firstChild.textContent.toLowerCase()}`;
    }
  };

  // A field's own words, beside it; and what was said of other figures goes once others are typed.
  document.addEventListener("invalid", ({target}) => { if (target.validity.patternMismatch) target.setCustomValidity(target.title); }, true);
  document.addEventListener("input", ({target}) => {
    target.setCustomValidity?.("");
    if (target.form?.id === "amend-form") document.getElementById("effect")?.remove();
  });

  const take = (event) => {
    const before = shown && Date.parse(shown.now), seconds = (Date.now() - heardAt) / 1e3;
    shown = JSON.parse(event.data);
    if (before && seconds > 0.5) pace = Math.max(0, Date.parse(shown.now) - before) / seconds;
    heardAt = Date.now();
    lastId = event.lastEventId;
  };
  const heard = (event) => {
    const isFirst = !shown;
    take(event);
    cut = false;
    state("live", "live");
    if (lost) back(isFirst);
    const closed = show(shown);
    document.body.dataset.heard = String(Number(document.body.dataset.heard ?? 0) + 1);
    const made = document.getElementById("main").dataset.stamp;
    if (made && (closed || made !== shown.stamp) && !refreshing && !sending() && refusedFor !== shown.stamp) refresh(false);
    const everyMs = 1000 * Number(document.getElementById("main").dataset.every);  // what no stamp tells of
    if (everyMs && Date.now() - madeAt > everyMs && !refreshing && !busy()) refresh(false);
  };
  let whole = true;
  const missed = (event) => {
    const past = JSON.parse(event.data);
    whole = past.whole;
    if (said?.firstChild.textContent === NOT_ANSWERED) isPast();
    window.deskCharts.past(past, lastId && !whole);
  };
  const back = (isFirst) => {
    lost = false;
    isPast();
    again(isFirst ? "Connected." : whole ? "Connected again; nothing was missed." : "Connected again after a restart or a long break: charts show what was missed in five-minute steps, and a gap where nothing was metered.");
  };
  const again = (text) => {
    tell("again", text);
    setTimeout(() => { if (banner.dataset.about === "again") tell(""); }, 6000);
  };
  const lose = (word, text) => {
    lost = true;
    refusedFor = null;
    state("lost", word);
    tell("lost", text);
    isDated();
  };
  const cutOff = (event) => {
    take(event);
    noDatabase("moving figures are the control loop's, all else may be old");
    show(shown);
  };
  const noDatabase = (old) => {
    cut = true;
    lose("no database", `The gateway's database does not answer: ${old}, and nothing can be done now but the emergency stop on Live.`);
  };
  // A line that was refused: the session is over, the database is away, or the gateway has just started.
  const refused = async () => {
    askedAt = Date.now();
    const status = await fetch("/v1/live").then((answer) => answer.status).catch(() => 0);
    if (status === 401 || status === 403) return refresh(true);
    if (status === 503) return noDatabase(shown ? `what you see is from ${time.format(Date.parse(shown.now))}` : "what you see may be old");
    cut = false;
    if (status) listen();
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
    source.addEventListener("error", () => { if (isShownAgain && source.readyState === EventSource.CLOSED) { isShownAgain = false; refused(); } });
    askedAt = Date.now();
  };
  let askedAt = 0, shownAt = 0, isShownAgain = false;
  window.addEventListener("focus", () => { if (isOver && !refreshing) comeBack(false); });
  document.addEventListener("visibilitychange", () => {
    if (isOver) { if (!document.hidden && !refreshing) comeBack(false); return; }
    isShownAgain = !document.hidden;
    if (document.hidden) { source.close(); state("waiting", "paused"); return; }
    shownAt = Date.now();
    listen();
  });
  listen();
  setInterval(() => {
    const quiet = Date.now() - heardAt;
    if (document.hidden || isOver || quiet < QUIET_MS || Date.now() - shownAt < SHOWN_MS) return;
    const isShut = source.readyState === EventSource.CLOSED;
    if (!isShut || !cut) lose("not connected", shown ? `Not connected: figures are from ${time.format(Date.parse(shown.now))}. Trying again.` : "Not connected. Trying again.");
    if (shown) count(Date.parse(shown.now) + quiet / 1e3 * pace);
    if (isShut && Date.now() - askedAt > QUIET_MS) refused();
    else if (Date.now() - askedAt > DEAF_MS && quiet > DEAF_MS) listen();  // a line that is dead does not say so
  }, LOOK_MS);
  heardAt = Date.now();
  forget();
  broughtAlong();
  after();
  window.deskAnew = () => { if (!refreshing) refresh(true, "outerMorph"); };
})();
