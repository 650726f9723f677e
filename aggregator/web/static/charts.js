// Charts of the desk: a bid's capacity fan, and each zone's last minutes. Times are London's.
"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const london = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Europe/London");
  const clock = new Intl.DateTimeFormat("en-GB", {timeZone: "Europe/London", hour: "2-digit", minute: "2-digit"});
  const clockS = new Intl.DateTimeFormat("en-GB", {timeZone: "Europe/London", hour: "2-digit", minute: "2-digit", second: "2-digit"});
  const kw = (value) => value == null ? "–" : `${value.toFixed(1).replace("-", "\u2212")} kW`;
  const axis = (more) => ({stroke: css("--muted"), grid: {stroke: css("--line"), width: 1}, ticks: {stroke: css("--line"), width: 1}, font: "12px system-ui", ...more});
  const whole = (_, values) => values.map((value) => `${String(value).replace("-", "\u2212")} kW`);
  const beside = (_, words) => 20 + 7.6 * Math.max(6, ...(words ?? []).map((one) => one.length));  // room for the widest
  const times = (form) => (_, values) => values.map((value) => form.format(new Date(value * 1e3)));

  const PAPER_PX = 680;  // a card on A4; style stretches it to what paper there is
  const root = document.documentElement;
  const widthOf = (box) => root.classList.contains("on-paper") ? PAPER_PX : box.clientWidth;
  const MARKS = [["solid", 0], ["dotted", 2], ["solid", 2], ["dashed", 2], ["dashed", 5], ["dotted", 3], ["solid", 4], ["dashed", 4]];  // as the lines: London, P10 to P90, need (broad, to be seen beneath a bid of all of it), nominated, bid, awarded of a part
  const isInPart = (found) => found.slots.some((slot) => slot.awarded_kw != null);
  const fanOf = (box, found) => {
    const at = [], columns = {p10_kw: [], p50_kw: [], p90_kw: [], need_kw: [], nominated_kw: [], bid_kw: []};
    if (isInPart(found)) columns.awarded_kw = [];
    for (const slot of found.slots) {
      at.push(Date.parse(slot.start) / 1e3);
      for (const [name, values] of Object.entries(columns)) values.push(slot[name]);
    }
    const last = found.slots.at(-1);
    at.push(Date.parse(last.end) / 1e3);  // a step holds until its end
    for (const [name, values] of Object.entries(columns)) values.push(last[name]);
    for (const name of ["need_kw", "nominated_kw", "bid_kw", "awarded_kw"].filter((one) => one in columns)) {
      columns[name] = columns[name].map((value, n, all) => value ?? (n > 0 ? all[n - 1] ?? null : null));
      const values = found.slots.map((slot) => slot[name]);
      const end = values.findLastIndex((value) => value != null);
      columns[name] = columns[name].map((value, n) => n > end + 1 ? null : value);
    }
    const step = uPlot.paths.stepped({align: 1});
    const line = (label, colour, more) => ({label, stroke: css(colour), width: 2, paths: step, points: {show: false}, value: (_, value, _n, at) => at == null ? "" : kw(value), ...more});
    return new uPlot({
      width: widthOf(box), height: 270, tzDate: london, cursor: {y: false}, scales: {x: {time: true}},
      legend: {markers: {dash: (_, n) => MARKS[n][0], width: (_, n) => MARKS[n][1]}},
      axes: [axis({values: times(clock), space: 55}), axis({values: whole, size: beside})],
      series: [{label: "London", value: (_, value) => value == null ? "" : clock.format(new Date(value * 1e3))},
        line("P10", "--p50", {width: 1, dash: [2, 3]}), line("P50", "--p50"), line("P90", "--p50", {width: 1, dash: [7, 3]}),
        line("Need", "--need", {dash: [8, 4], width: 7}), line("Nominated", "--nominated", {dash: [2, 4], width: 3}), line("Bid", "--bid", {width: 3}), ...(isInPart(found) ? [line("Awarded", "--awarded", {dash: [10, 4], width: 4})] : [])],
      bands: [{series: [3, 1], fill: css("--band")}],
    }, [at, ...Object.values(columns)], box);
  };

  const fromTo = (kws) => [...new Set([Math.min(...kws), Math.max(...kws)])].map(kw).join(" to ");
  const partOf = (found, bids) => isInPart(found) ? ` awarded ${fromTo(found.slots.map((slot) => slot.awarded_kw).filter((value) => value != null))} of ${fromTo(bids)} bid;` : "";

  // What is drawn is drawn anew once the page shows another draft or nomination; the box itself outlives that.
  let fan = null;
  const drawFan = async () => {
    const box = document.getElementById("fan"), shows = box?.parentElement.dataset.shows;
    if (!box || box.dataset.shows === shows) return;
    box.dataset.shows = shows;
    box.dataset.drawn = "asked";
    const state = document.getElementById("fan-state");
    try {
      const answer = await fetch(box.dataset.fan, {headers: {Accept: "application/json"}});
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      if (box.dataset.shows !== shows) return;
      if (fan?.box === box) fan.plot.destroy();
      if (!found.slots.length) {
        state.textContent = found.reason ? `No forecast: ${found.reason}.` : "No forecast for this window.";
        box.dataset.drawn = "empty";
        return;
      }
      state.hidden = true;
      if (fan?.box !== box) new ResizeObserver(() => { if (fan.box === box) fan.plot.setSize({width: widthOf(box), height: 270}); }).observe(box);
      fan = {box, found, plot: fanOf(box, found)};
      box.setAttribute("role", "img");
      const inside = found.slots.filter((slot) => slot.bid_kw != null), bids = inside.map((slot) => slot.bid_kw);
      box.dataset.bid = `${Math.min(...bids)} ${Math.max(...bids)}`;
      const least = Math.min(...inside.map((slot) => slot.p10_kw)), most = Math.max(...inside.map((slot) => slot.p90_kw));
      box.setAttribute("aria-label", `Capacity in the window: P10 at least ${kw(least)}, P90 at most ${kw(most)}, by ${found.cars} cars over ${found.days} past days;${partOf(found, bids)} need, bid and nomination stand in the table below`);
      box.dataset.drawn = "yes";
    } catch {
      state.textContent = "The forecast cannot be shown now; the table below holds.";
      box.dataset.drawn = "failed";
    }
  };

  const SHOWN_S = 3 * 3600;  // as much as is shown, and kept
  const zones = new Map();
  const span = (_, low, high) => [Math.max(Math.min(low ?? 0, (high ?? 60) - 60), (high ?? 60) - SHOWN_S), high ?? 60];
  const STEPS_S = [1, 2, 3, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200];  // none above twice the one before: a phone has room for two of any
  const clocks = (plot, values, _axis, _space, step) => times(step < 60 ? clockS : clock)(plot, values);
  const padded = (_, least, most) => {  // no line lies on the edge
    const low = Math.min(least ?? 0, 0), high = Math.max(most ?? 0, 0), room = Math.max(1, 0.12 * (high - low));
    return [low - room, high + room];
  };
  const shaded = (plot) => {  // the windows of awarded bids
    const {left, top, width, height} = plot.bbox, {ctx} = plot;
    ctx.save();
    ctx.fillStyle = css("--live-bg");
    for (const found of plot.root.closest("[data-zone]").dataset.windows.trim().split(" ").filter(Boolean)) {
      const [from, until] = found.split("/").map((at) => Math.min(Math.max(plot.valToPos(Date.parse(at) / 1e3, "x", true), left), left + width));
      ctx.fillRect(from, top, until - from, height);
    }
    ctx.restore();
  };
  const steps = () => uPlot.paths.stepped({align: 1});
  const plotOf = (box, data) => {
    const line = (label, colour, more) => ({label, stroke: css(colour), width: 2, points: {show: false}, ...more});
    return new uPlot({
      width: widthOf(box), height: 150, tzDate: london, legend: {show: false}, cursor: {show: false},
      axes: [axis({values: clocks, incrs: STEPS_S, space: 57, size: 28}), axis({values: whole, size: beside, space: 28})],
      scales: {x: {time: true, range: span}, y: {range: padded}},
      hooks: {drawClear: [shaded]},
      series: [{}, line("Target", "--bid", {dash: [8, 4], paths: steps()}), line("Nominated", "--nominated", {dash: [2, 4], paths: steps()}), line("Metered", "--p50", {width: 3})],
    }, data, box);
  };
  const add = (zone, at, figures) => {
    const known = zones.get(zone) ?? {data: [[], [], [], []], plot: null, box: null};
    zones.set(zone, known);
    if (known.data[0].at(-1) >= at) return;
    known.data.forEach((values, n) => values.push(n ? figures[n - 1] : at));
    const old = known.data[0].findIndex((time) => time >= at - SHOWN_S);
    if (old) for (const values of known.data) values.splice(0, old);
  };
  const draw = (zone) => {
    const known = zones.get(zone), box = document.querySelector(`[data-chart="${CSS.escape(zone)}"]`);
    if (!box) return;
    if (known.box !== box) { known.plot?.destroy(); known.plot = plotOf(box, known.data); known.box = box; }
    if (known.plot.width !== widthOf(box)) known.plot.setSize({width: widthOf(box), height: 150});
    known.plot.setData(known.data);
    const [, target, , metered] = known.data.map((values) => values.at(-1) ?? "");
    Object.assign(box.dataset, {points: known.data[0].length, target, metered});
  };
  // What was missed, or was before the page; a gap is one, and is not drawn across.
  const past = (found, gap) => {
    if (gap) for (const [zone, known] of zones) add(zone, known.data[0].at(-1) + 1e-3, [null, null, null]);
    for (const [now, ...figures] of found.rows) found.zones.forEach((zone, n) => add(zone, Date.parse(now) / 1e3, figures[n]));
  };
  const live = (picture) => {
    for (const one of picture.zones) {
      add(one.zone, Date.parse(picture.now) / 1e3, [one.target_kw, one.nominated_kw, one.metered_kw]);
      draw(one.zone);
    }
  };
  const redraw = () => {
    if (fan?.box.isConnected) { fan.plot.destroy(); fan.plot = fanOf(fan.box, fan.found); }
    for (const [zone, known] of zones) { known.box = null; draw(zone); }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // Paper is white whatever the screen is. Browsers differ in which of the two they tell of.
  const paper = (isPaper) => {
    root.classList.toggle("on-paper", isPaper);
    redraw();
  };
  const print = matchMedia("print");
  print.addEventListener("change", () => paper(print.matches));
  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));
  window.deskCharts = {drawFan, live, past};
})();
