"use strict";
// All text comes from workspaces, which are not trusted: it is only ever set as textContent or as
// the value of an attribute that runs nothing. Tables have pages, so that 5,000 requests cost what
// 100 do.
const report = JSON.parse(document.getElementById("data").textContent);
const ROWS = 100, BARS = 1000, FLOWS = 20, CHOICES = 1000;
const { workspaces, tests, requests } = report;
const byId = (id) => document.getElementById(id);

const make = (tag, options = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, action] of Object.entries(value)) node.addEventListener(event, action);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
};
const button = (text, action, options = {}) => make("button", { type: "button", class: "button", text, on: { click: action }, ...options });
const badge = (kind, text = kind) => make("span", { class: `badge ${/^[a-z]+$/.test(kind) ? kind : ""}`, text });
const cell = (text, kind = "") => make("td", { class: kind, text: text ?? "" });
const block = (text) => make("pre", { tabindex: "0", text });
const seconds = (value) => (value === null || value === undefined ? "" : value.toFixed(2));
const bytes = (value) => {
  if (value === null || value === undefined) return "";
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
};
const number = (value) => value.toLocaleString("en");
const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const clock = (time) => new Date(time * 1000).toISOString().slice(11, 23);
const facts = (pairs) => make("dl", {}, ...pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
  .flatMap(([name, value]) => [make("dt", { text: name }), value instanceof Node ? make("dd", {}, value) : make("dd", {}, make("bdi", { text: value }))]));
const box = (title, ...children) => make("div", { class: "box" }, title ? make("h3", { text: title }) : null, ...children);
const copyable = (text) => {
  const shown = block(text);
  if (!navigator.clipboard) return shown;
  const copy = button("Copy", () => navigator.clipboard.writeText(text).then(() => { copy.textContent = "Copied"; }, () => { copy.hidden = true; }));
  return make("div", {}, shown, make("div", { class: "copying" }, copy));
};

// A table with pages. A row opens to its detail by a click, or by its button.
const paged = ({ body, pager, noun, columns, render, before = () => {} }) => {
  let found = [], at = 0;
  const rowOf = (item) => {
    const { cells, detail } = render(item);
    const row = make("tr", { class: detail ? "row" : "" }, ...cells);
    if (!detail) return [row];
    const toggle = row.querySelector(".toggle");
    const change = (wanted) => {
      const is = row.hasAttribute("data-open");
      if (is === wanted) return;
      toggle.setAttribute("aria-expanded", String(!is));
      row.toggleAttribute("data-open", !is);
      if (is) { row.nextElementSibling.remove(); } else row.after(make("tr", { class: "detail" }, make("td", { colspan: columns }, detail())));
    };
    row.addEventListener("click", (event) => {
      const on = event.target.closest("button, a");
      // Text of the row can be selected.
      if (on === toggle || (!on && String(getSelection()) === "")) change();
    });
    toggle.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      const all = [...body.querySelectorAll(".toggle")];
      all[all.indexOf(toggle) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    });
    row.change = change;
    return [row];
  };
  const move = (to) => { at = to; draw(); body.closest("section").scrollIntoView(); body.querySelector(".toggle")?.focus({ preventScroll: true }); };
  const draw = () => {
    const shown = found.slice(at, at + ROWS);
    before(shown);
    body.replaceChildren(...shown.flatMap(rowOf));
    const last = at + shown.length;
    const text = found.length > ROWS ? `${number(at + 1)}\u2013${number(last)} of ${counted(found.length, noun)}` : counted(found.length, noun);
    pager.replaceChildren(make("span", { text, role: "status" }));
    if (found.length > ROWS) {
      pager.append(button("Previous", () => move(at - ROWS), { disabled: at === 0 }), button("Next", () => move(at + ROWS), { disabled: last >= found.length }));
    }
  };
  return {
    show(items) { found = items; at = 0; draw(); },
    reveal(item) {
      const place = found.indexOf(item);
      if (place < 0) return;
      if (place < at || place >= at + ROWS) { at = place - (place % ROWS); draw(); }
      const row = body.querySelectorAll("tr.row")[place - at];
      row.change(true);
      row.scrollIntoView({ block: "start" });
      row.querySelector(".toggle").focus({ preventScroll: true });
    },
  };
};
const toggleCell = (...children) => make("td", { class: "main" },
  make("button", { type: "button", class: "toggle", "aria-expanded": "false" }, make("span", { class: "text" }, ...children)));

// ---- Network
const filters = Object.fromEntries(["host", "verdict", "phase", "test", "process"].map((name) => [name, byId(`filter-${name}`)]));
const text = byId("filter-text"), order = byId("filter-order");
const labelOf = (request) => (request.test < 0 ? "setup scripts" : tests[request.test].id);
for (const request of requests) {
  request.label = labelOf(request);
  request.find = [request.method, request.url, request.reason, request.label, request.process].join(" ").toLowerCase();
}
const valueOf = { host: (one) => one.host, verdict: (one) => one.verdict, phase: (one) => one.phase, test: (one) => one.label, process: (one) => one.process };
for (const [name, select] of Object.entries(filters)) {
  const counts = new Map();
  for (const one of requests) {
    const value = valueOf[name](one);
    if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const listed = [...counts].sort((a, b) => b[1] - a[1]).slice(0, CHOICES).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  for (const [value, count] of listed) select.append(make("option", { value, text: `${value} (${number(count)})` }));
}
byId("process-label").hidden = filters.process.length < 2;

const requestDetail = (one) => {
  const from = one.workspace < 0 ? null : workspaces[one.workspace];
  const parts = [facts([
    ["Request", `${one.method} ${one.url}`], ["Verdict", one.verdict + (one.reason ? ` (${one.reason})` : "")],
    ["Explanation", one.explanation || (one.problem ? "" : "Nothing was wrong with this request.")],
    ["Asked by", one.process], ["Began", `${clock(one.time)} UTC, phase ${one.phase}`],
    ["Took", one.duration === null ? "" : `${seconds(one.duration)} s`], ["Status", one.status === null ? "no response" : String(one.status)], ["Body", bytes(one.size)],
    ["Test", one.test < 0 ? "the setup scripts" : make("button", { type: "button", class: "link", text: one.label, on: { click: () => openTest(one.test) } })],
    ["Worker", from && from.worker],
  ])];
  if (one.rule) parts.push(box("To allow it, in .codex-workspace.yaml", copyable(one.rule)));
  return make("div", {}, ...parts);
};
let scale = { from: 0, length: 1 };
const network = paged({
  body: byId("requests"), pager: byId("requests-pager"), noun: "request", columns: 7,
  before(shown) {
    const from = Math.min(...shown.map((one) => one.time)), to = Math.max(...shown.map((one) => one.time + (one.duration ?? 0)));
    scale = { from, length: Math.max(0.001, to - from) };
    byId("scale").replaceChildren("Waterfall", shown.length ? make("span", { text: `${scale.length.toFixed(1)} s` }) : "");
  },
  render(one) {
    const wave = make("div", { class: "wave", title: `began at ${clock(one.time)} UTC` });
    const bar = make("i", { class: one.kind });
    bar.style.left = `${Math.min(98, 100 * (one.time - scale.from) / scale.length)}%`;
    bar.style.width = `${Math.min(100, 100 * (one.duration ?? 0) / scale.length)}%`;
    bar.style.maxWidth = `calc(100% - ${bar.style.left})`;
    wave.append(bar);
    return {
      cells: [
        toggleCell(make("span", { class: "dim mono", text: `${one.method} ` }), make("bdi", { class: "mono", text: one.url }),
          one.process ? make("div", { class: "dim" }, "by ", make("bdi", { text: one.process })) : null),
        make("td", { class: "nowrap" }, badge(one.kind, one.kind === "unfinished" ? "no response" : one.verdict), one.reason ? make("div", { class: "dim", text: one.reason }) : null),
        cell(one.phase, "optional"), cell(one.status, "number optional"), cell(bytes(one.size), "number optional"), cell(seconds(one.duration), "number optional"),
        make("td", { class: "optional" }, wave),
      ],
      detail: () => requestDetail(one),
    };
  },
});
const filterRequests = () => {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.entries(filters).filter(([, select]) => select.value).map(([name, select]) => [valueOf[name], select.value]);
  const found = requests.filter((one) => wanted.every(([value, is]) => value(one) === is) && words.every((word) => one.find.includes(word)));
  if (order.value !== "time") found.sort((a, b) => (b[order.value] ?? -1) - (a[order.value] ?? -1));
  network.show(found);
};
const showRequests = (wanted) => {
  for (const [name, select] of Object.entries(filters)) {
    select.value = wanted[name] ?? "";
    // A value that is not among the choices is found by its text.
    if (wanted[name] && select.value !== wanted[name]) select.value = "";
  }
  text.value = wanted.host && !filters.host.value ? wanted.host : "";
  order.value = "time";
  filterRequests();
  byId("network").scrollIntoView();
  text.focus({ preventScroll: true });
};
text.addEventListener("input", filterRequests);
for (const select of [order, ...Object.values(filters)]) select.addEventListener("change", filterRequests);
byId("filter-clear").addEventListener("click", () => showRequests({}));

// ---- Tests
const commandOf = (one, isLast) => {
  const bad = one.state !== "exited" || one.exit_code !== 0;
  const how = one.state === "exited" ? `exit code ${one.exit_code}` : one.state;
  const outputs = ["stdout", "stderr"].filter((name) => one[name]);
  return make("details", { class: "command", open: bad || isLast },
    make("summary", {}, badge(bad ? (one.state === "started" ? "started" : "failed") : "exited", how), " ", make("code", {}, make("bdi", { text: one.text })),
      one.duration === null || one.duration === undefined ? "" : make("span", { class: "dim", text: ` ${seconds(one.duration)} s` })),
    make("div", {}, make("span", { class: "dim", text: `at ${clock(one.began)} UTC in ${one.cwd}${one.user ? ` as ${one.user}` : ""}` }),
      ...outputs.flatMap((name) => [make("div", { class: "dim", text: `end of ${name}` }), block(one[name].replace(/\n$/, ""))]),
      outputs.length ? "" : make("div", { class: "dim", text: one.cut ? "Its output is in report.json." : "no output" })));
};
const flowOf = (one) => make("div", { class: "flow" }, badge(one.kind, one.verdict), make("code", {}, make("bdi", { text: `${one.method} ${one.url}` })),
  make("span", { class: "dim", text: [one.reason, one.status, one.duration === null ? "" : `${seconds(one.duration)} s`].filter(Boolean).join(", ") }));
const requestsOf = new Map();
for (const one of requests) {
  if (one.test < 0) continue;
  if (!requestsOf.has(one.test)) requestsOf.set(one.test, []);
  requestsOf.get(one.test).push(one);
}
const workspaceOf = (place, flows) => {
  const one = workspaces[place], mine = flows.filter((flow) => flow.workspace === place);
  const shown = [...mine.filter((flow) => flow.problem), ...mine.filter((flow) => !flow.problem)].slice(0, FLOWS);
  const parts = [facts([
    ["Repository", `${one.repository} at ${one.head}`], ["Image", one.image], ["Cache", one.cache + (one.key ? `, setup ${one.key}` : "")],
    ["Running", `${clock(one.began)} to ${clock(one.ended)} UTC, ${seconds(one.ended - one.began)} s${one.worker ? `, in ${one.worker}` : ""}`],
    ["Setup log", one.log && make("a", { href: `logs/${encodeURIComponent(one.log)}`, text: one.log })],
  ])];
  if (one.lost) parts.push(box(one.container ? "It ended early" : "It did not start", block(one.lost)));
  if (one.commands.length) {
    parts.push(box("Commands", one.omitted ? make("span", { class: "dim", text: `${counted(one.omitted, "earlier command")} not kept` }) : "",
      ...one.commands.map((command, at) => commandOf(command, at === one.commands.length - 1))));
  }
  if (mine.length) parts.push(box("Requests", ...shown.map(flowOf)));
  return make("div", { class: "box" }, ...parts);
};
const testDetail = (one, place) => {
  const flows = requestsOf.get(place) ?? [];
  const attempts = one.attempts.filter((attempt) => attempt.message).map((attempt, at) =>
    box(one.attempts.length > 1 ? `Attempt ${at + 1}: ${attempt.outcome}` : "What failed", block(attempt.message)));
  return make("div", {}, ...attempts, ...one.workspaces.map((at) => workspaceOf(at, flows)),
    flows.length ? make("div", { class: "copying" }, button(`Show ${counted(flows.length, "request")} in the network list`, () => showRequests({ test: one.id })),
      one.har ? make("a", { href: `har/${encodeURIComponent(one.har)}`, text: "HTTP archive" }) : null) : null);
};
const nameOf = (id) => { const at = id.indexOf("::"); return at < 0 ? ["", id] : [id.slice(0, at + 2), id.slice(at + 2)]; };
const testTable = paged({
  body: byId("tests-rows"), pager: byId("tests-pager"), noun: "test", columns: 7,
  render(one) {
    const [file, name] = nameOf(one.id);
    return {
      cells: [
        toggleCell(make("bdi", {}, make("span", { class: "dim", text: file }), name)),
        make("td", { class: "nowrap" }, badge(one.outcome || "used", one.outcome || "used"), one.attempts.length > 1 ? make("div", { class: "dim", text: `attempt ${one.attempts.length}` }) : null),
        cell(one.cache, "optional"), cell(one.commands, "number optional"), cell(one.requests, "number optional"), cell(one.problems || "", "number optional"), cell(seconds(one.duration), "number"),
      ],
      detail: () => testDetail(one, tests.indexOf(one)),
    };
  },
});
const rank = (one) => (["failed", "lost"].includes(one.outcome) ? 0 : 1);
const worstFirst = [...tests].sort((a, b) => rank(a) - rank(b));
const testText = byId("tests-text"), outcome = byId("tests-outcome");
for (const value of [...new Set(tests.map((one) => one.outcome))].filter(Boolean).sort()) outcome.append(make("option", { value, text: value }));
for (const one of tests) {
  one.find = [one.id, ...one.attempts.map((each) => each.message), ...one.workspaces.flatMap((at) => workspaces[at].commands.map((each) => each.text))].join(" ").toLowerCase();
}
const filterTests = () => {
  const words = testText.value.toLowerCase().split(/\s+/).filter(Boolean);
  testTable.show(worstFirst.filter((one) => (!outcome.value || one.outcome === outcome.value) && words.every((word) => one.find.includes(word))));
};
testText.addEventListener("input", filterTests);
outcome.addEventListener("change", filterTests);
const openTest = (place) => { testText.value = ""; outcome.value = ""; filterTests(); testTable.reveal(tests[place]); };

// ---- Time line
const lanes = byId("lanes");
const spans = workspaces.map((one) => ["miss", "off"].includes(one.cache) ? one.began - one.setup_duration : one.began);
const first = workspaces.reduce((least, one, at) => Math.min(least, spans[at]), Infinity);
const last = Math.max(first + 0.1, workspaces.reduce((most, one) => Math.max(most, one.ended), -Infinity));
const percent = (time) => 100 * (time - first) / (last - first);
const drawTimeline = () => {
  if (!workspaces.length) { lanes.append(make("p", { class: "empty", text: "No workspace was used." })); return; }
  const rough = (last - first) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let time = 0; time < last - first; time += step) ticks.push(time);
  const tickText = (time) => (step >= 1 ? `${Math.round(time)} s` : `${time.toFixed(Math.min(3, Math.ceil(-Math.log10(step))))} s`);
  const axis = make("div", { class: "track" }, ...ticks.filter((time) => percent(first + time) < 95).map((time) => {
    const label = make("span", { class: "label", text: tickText(time) });
    label.style.left = `${percent(first + time)}%`;
    return label;
  }));
  lanes.append(make("div", { class: "worker axis" }, make("b"), axis));
  const all = workspaces.map((_, place) => place);
  const drawn = new Set(all.length <= BARS ? all : [...all].sort((a, b) => isBad(b) - isBad(a) || a - b).slice(0, BARS));
  if (all.length > BARS) byId("timeline-note").textContent += ` ${number(BARS)} of ${number(all.length)} are drawn, failures first.`;
  for (const worker of [...new Set(workspaces.map((one) => one.worker))].sort()) {
    const track = make("div", { class: "track" }), ends = [];
    for (const time of ticks) { const tick = make("div", { class: "tick" }); tick.style.left = `${percent(first + time)}%`; track.append(tick); }
    for (const place of all.filter((at) => drawn.has(at) && workspaces[at].worker === worker)) {
      const one = workspaces[place], from = spans[place];
      // Workspaces that live at the same time lie below each other.
      let level = ends.findIndex((end) => end <= from + 0.001);
      if (level < 0) level = ends.length;
      ends[level] = Math.max(one.ended, from + (last - first) / 200);
      const top = `${0.25 + level * 1.6}rem`;
      if (from < one.began) {
        const setup = make("div", { class: "setup", title: `setup, ${seconds(one.setup_duration)} s` });
        setup.style.left = `${percent(from)}%`; setup.style.width = `${percent(one.began) - percent(from)}%`; setup.style.top = top;
        track.append(setup);
      }
      const width = percent(one.ended) - percent(one.began), title = `${one.name}: ${one.outcome || "used"}, ${seconds(one.ended - one.began)} s, cache ${one.cache}`;
      const bar = make("button", { type: "button", class: `bar ${one.outcome}${width < 4 ? " small" : ""}`, title, "aria-label": title, text: width < 4 ? "" : nameOf(one.name)[1], on: { click: () => openTest(one.test) } });
      bar.style.left = `${Math.min(99.5, percent(one.began))}%`; bar.style.width = `${width}%`; bar.style.top = top;
      track.append(bar);
    }
    track.style.height = `${0.5 + ends.length * 1.6}rem`;
    lanes.append(make("div", { class: "worker" }, make("b", { text: worker || (workspaces.some((one) => one.worker) ? "main" : "") }), track));
  }
};
const isBad = (place) => (workspaces[place].outcome === "passed" || !workspaces[place].outcome ? 0 : 1);

// ---- Hosts
const hosts = new Map();
for (const [name, setup, inTests, problems] of report.hosts) hosts.set(name, { name, setup, tests: inTests, problems });
const hostTable = paged({
  body: byId("hosts-rows"), pager: byId("hosts-pager"), noun: "host", columns: 5,
  render(one) {
    const share = make("div", { class: "share", title: `${counted(one.setup, "request")} in setup, ${number(one.tests)} in tests` });
    for (const [name, value] of [["setup", one.setup], ["tests", one.tests]]) {
      const part = make("i", { class: name });
      part.style.width = `${100 * value / (one.setup + one.tests)}%`;
      share.append(part);
    }
    return { cells: [
      make("td", { class: "main" }, make("button", { type: "button", class: "link", on: { click: () => showRequests({ host: one.name }) } }, make("bdi", { class: "mono", text: one.name }))),
      cell(one.setup ? number(one.setup) : "", "number"), cell(one.tests ? number(one.tests) : "", "number"),
      make("td", { class: "number" }, one.problems ? badge("blocked", number(one.problems)) : ""), make("td", { class: "optional" }, share)] };
  },
});
const places = { all: () => true, "only in setup": (one) => !one.tests, "only in tests": (one) => !one.setup, "in both": (one) => one.setup && one.tests, "with problems": (one) => one.problems };
for (const [name, fits] of Object.entries(places)) {
  const found = [...hosts.values()].filter(fits);
  const choose = button(`${name} (${number(found.length)})`, () => {
    for (const other of byId("hosts-where").children) other.setAttribute("aria-pressed", String(other === choose));
    hostTable.show(found);
  }, { "aria-pressed": String(name === "all") });
  byId("hosts-where").append(choose);
}

for (const problem of document.querySelectorAll(".problem")) {
  const { host, phase, verdict } = problem.dataset;
  problem.querySelector(".line").append(make("button", { type: "button", class: "link", text: "show", "aria-label": `show the requests to ${host}`, on: { click: () => showRequests({ host, phase, verdict }) } }));
}
for (const shown of document.querySelectorAll("pre[data-copy]")) shown.replaceWith(copyable(shown.textContent));
drawTimeline();
filterTests();
filterRequests();
hostTable.show([...hosts.values()]);
