// The list of bids: what changed of it, in words, and which rows lost their ticks and why.
"use strict";
window.deskBids = (() => {
  const bidOf = (row) => ({name: row.querySelector("th a").textContent, window: row.querySelector(".span").textContent, state: row.querySelector(".state").textContent, draft: row.dataset.draft});
  const bidsOf = (page) => new Map([...page.querySelectorAll("tr[data-draft]")].map((row) => [row.id, bidOf(row)]));
  const called = ({name, window}) => `${name} ${window}`;
  const someBids = (bids) => {
    const names = bids.map(called);
    return names.length > 3 ? `${names.length} bids, ${names[0]} and ${names.length - 1} more,` : names.join(" and ");
  };
  // Which bids changed between what is shown and a page, how many, and into what; nothing where none did.
  const changes = (page) => {
    const was = bidsOf(document), is = bidsOf(page), told = new Map();
    const note = (what, bid) => told.set(what, [...told.get(what) ?? [], bid]);
    for (const [id, bid] of is) {
      const before = was.get(id);
      if (!before) note("new", bid);
      else if (before.state !== bid.state) note(`now ${bid.state}`, bid);
      else if (before.draft !== bid.draft) note("drafted anew", bid);
    }
    for (const [id, bid] of was) if (!is.has(id)) note("no longer in this list", bid);
    return [...told].map(([what, bids]) => `${someBids(bids)} ${what}`).join("; ");
  };

  // A tick that goes by itself is told of until the next action. What is ticked here, and is no bid, has no row.
  const ticked = (field) => {
    const row = field.checked && field.closest("tr[data-draft]");
    return row ? {row: row.id, ...bidOf(row)} : null;
  };
  const note = document.getElementById("unticked");
  const untick = (bid, ...why) => {
    note.append(note.firstChild ? "; " : "No longer ticked: ", `${called(bid)}, `, ...why);
    note.hidden = false;
  };
  const lost = (bid) => {
    const is = bidsOf(document).get(bid.row);
    untick(bid, !is ? "no longer in this list" : is.state !== bid.state ? `now ${is.state}` : "its draft has changed");
  };
  const forget = () => {
    if (!note) return;
    note.replaceChildren();
    note.hidden = true;
  };
  return {changes, ticked, untick, lost, forget};
})();
