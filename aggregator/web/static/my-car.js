// A driver's page: what the car does is shown anew twice a minute; forms are left as they are being filled in.
// What is typed outlives a token that is revoked: nothing goes out without a session, nor in another car's name.
"use strict";
(() => {
  const EVERY_MS = 30_000, ALONG = "flexloop-along", SIGN_IN = "/sign-in?next=%2Fmy-car";
  const me = document.body.dataset.person, banner = document.getElementById("banner");
  let asking = false, isOver = false, toldOf = "";

  const tell = (text, link) => {
    banner.textContent = text;
    banner.hidden = !text;
    if (link) banner.append(" ", Object.assign(document.createElement("a"), link));
  };
  const fields = () => [...document.querySelectorAll("main form :is(input:not([type=hidden]), select)")];
  const isTyped = (field) => field.options ? ![...field.options].every((one, n) => one.selected === (one.defaultSelected || (n === 0 && ![...field.options].some((other) => other.defaultSelected)))) : field.value !== field.defaultValue || field.ariaInvalid === "true";
  const typed = () => fields().filter(isTyped);

  const over = (whose, sent) => {
    if (!sent && !typed().length) return location.reload();
    if (isOver && !sent && whose === toldOf) return;  // what was told of a form that was not sent stays
    isOver = true;
    toldOf = whose;
    const kept = typed().length ? " What you typed is kept here." : "", nothing = sent ? ": nothing was sent" : "";
    if (whose) tell(`${whose} has signed in in this browser; this page is ${me}'s${nothing}.${kept}`, {href: "/my-car", textContent: `Go on as ${whose}`});
    else tell(`You are signed out${nothing}.${kept} Sign in, then come back to this page.`, {href: SIGN_IN, textContent: "Sign in in another tab", target: "_blank", rel: "noopener"});
  };
  // Asks for the page anew: returns it where it is still this driver's, and takes its session over.
  const look = async (sent) => {
    const answer = await fetch("/my-car", {headers: {Accept: "text/html"}});
    if (answer.redirected && !answer.url.includes("/my-car")) return over("", sent);
    if (!answer.ok) throw Object.assign(new Error(String(answer.status)), {isAnswer: true});
    const page = new DOMParser().parseFromString(await answer.text(), "text/html"), whose = page.body.dataset.person;
    if (whose !== me) return over(whose, sent);
    const csrf = page.querySelector("input[name=csrf]").value;
    for (const field of document.querySelectorAll("input[name=csrf]")) field.value = csrf;
    if (isOver) tell("Signed in again; what you typed is kept."); else tell("");
    isOver = false;
    return page;
  };

  const refresh = async () => {
    if (document.hidden || asking) return;
    asking = true;
    try {
      const page = await look(false);
      for (const fresh of page?.querySelectorAll("[data-fresh]") ?? []) {
        const old = document.getElementById(fresh.id);
        if (!old || old.contains(document.activeElement) || fields().some((one) => old.contains(one) && isTyped(one)) || old.innerHTML === fresh.innerHTML) continue;
        const opened = [...old.querySelectorAll("details")].map((one) => one.open);
        old.replaceWith(document.importNode(fresh, true));
        document.getElementById(fresh.id).querySelectorAll("details").forEach((one, n) => { one.open = opened[n] ?? false; });
      }
      document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
    } catch {
      tell(`Not connected: what you see is from ${document.getElementById("as-of").textContent}. Trying again.`);
    } finally { asking = false; }
  };

  // A form goes out where its session still holds; what stands in the others comes back with the page after it.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("main form")) return;
    event.preventDefault();
    try {
      if (!await look(true)) return;
    } catch (error) {
      if (!error.isAnswer) return tell("Not connected: nothing was sent. What you typed is kept here.");
    }
    const others = typed().filter((one) => one.id && one.form !== form).map(({id, value}) => ({id, value}));
    sessionStorage.setItem(ALONG, JSON.stringify({me, others}));
    form.submit();
  });
  const bringBack = () => {
    const {me: whose, others} = JSON.parse(sessionStorage.getItem(ALONG) ?? "{}");
    sessionStorage.removeItem(ALONG);
    for (const {id, value} of whose === me ? others : []) {
      const field = document.getElementById(id), hides = field?.closest("details");
      if (field) field.value = value;
      if (hides) hides.open = true;
    }
  };

  bringBack();
  setInterval(refresh, EVERY_MS);
  for (const name of ["focus", "online"]) window.addEventListener(name, refresh);
  document.addEventListener("visibilitychange", refresh);
})();
