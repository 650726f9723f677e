// Every action by keyboard. Single keys can be switched off (WCAG 2.1.4), and never act while somebody types.
"use strict";
(() => {
  const KEPT = "flexloop-keys";
  const help = document.getElementById("help"), box = document.getElementById("keys-on");
  box.checked = localStorage.getItem(KEPT) !== "off";
  box.addEventListener("change", () => localStorage.setItem(KEPT, box.checked ? "on" : "off"));
  document.getElementById("help-button").addEventListener("click", () => help.showModal());

  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("[data-tick-all]")?.form;
    for (const one of form?.querySelectorAll("input[type=checkbox]") ?? []) one.checked = true;
  });

  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.checkVisibility());
  const linkOf = (row) => row.querySelector("a") ?? row.querySelector("input") ?? row;
  let last = "";  // the row one was in, where the focus has gone elsewhere since
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    const found = all.findIndex((row) => row.contains(document.activeElement));
    const here = found < 0 ? all.findIndex((row) => row.id && row.id === last) : found;
    const next = all[Math.min(Math.max(here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by, 0), all.length - 1)];
    const link = linkOf(next);
    if (link === next && next.tabIndex < 0) next.tabIndex = -1;
    link.focus();
    last = next.id;
    next.scrollIntoView({block: "nearest"});
  };
  const focusOn = (...ids) => {
    const found = ids.map((id) => document.getElementById(id)).find(Boolean);
    found?.focus();
    found?.scrollIntoView({block: "nearest"});
    return Boolean(found);
  };
  // After a key that can do nothing here, what follows may be a reason that somebody types: no letter of it acts.
  const DEAF_MS = 2000;
  const said = document.getElementById("key-said");
  let deafUntil = 0, heard = 0;
  const hear = () => { deafUntil = heard = 0; said.textContent = ""; };
  const refuse = (key, words, ...ids) => {
    const why = ids.map((id) => document.getElementById(id)?.textContent.trim()).find(Boolean);
    said.textContent = `${key}: ${why ?? words}`;
    [deafUntil, heard] = [Date.now() + DEAF_MS, 0];
  };
  document.addEventListener("focusin", hear);
  document.addEventListener("pointerdown", hear);
  const swallows = (event) => {
    const isLetter = event.key.length === 1, isDeaf = Date.now() < deafUntil;
    if (!isDeaf || !isLetter && !(event.key === "Enter" && heard)) return false;
    [deafUntil, heard] = [Date.now() + DEAF_MS, heard + 1];
    event.preventDefault();
    return true;
  };
  const tick = () => document.activeElement?.closest("[data-row]")?.querySelector("input[type=checkbox]")?.click();
  const isInAlarm = () => document.activeElement?.closest(".alarms");
  const pageOf = (key) => document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
  const ACTS = {
    j: () => move(1), k: () => move(-1), x: tick,
    a: () => { if (!focusOn(document.activeElement?.closest("[data-group]")?.querySelector("button")?.id, ...isInAlarm() ? [] : ["restart-1"], "do-check", "do-approve", "approve-ticked", "check-ticked", "acknowledge-ticked")) refuse("a", "nothing to check, approve, restart or acknowledge here", "cannot-check", "cannot-approve", "cannot"); },
    e: () => { if (!focusOn("amend-kw")) refuse("e", "no bid to amend here", "cannot-amend", "cannot"); },
    r: () => { if (!focusOn("reject-reason")) refuse("r", "no bid to refuse here", "cannot-reject", "cannot"); },
    w: () => { if (!focusOn("withdraw-reason")) refuse("w", "no bid to withdraw here", "cannot-withdraw", "cannot"); },
    S: () => { if (document.body.dataset.page === "live") document.getElementById("do-stop")?.click(); },
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const field = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && field) return field.blur();
    if (field || event.repeat && event.key === "S") return;
    if (swallows(event)) return;
    if (!box.checked && event.key !== "?") return;
    const page = pageOf(event.key), act = ACTS[event.key] ?? (page && (() => page.click()));
    if (!act) return;
    event.preventDefault();
    hear();
    act();
  });
})();
