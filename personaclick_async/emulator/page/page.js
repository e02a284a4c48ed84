// Everything shown comes from whoever calls the emulator: it is only ever set as text.

const token = document.querySelector('meta[name="emulator-token"]').content;
const find = (id) => document.getElementById(id);
const views = ["requests", "profiles", "devices", "orders", "faults"];
const mostRequests = 500;
const identifiers = ["email", "phone", "external_id", "loyalty_id", "telegram_id", "id", "did"];

let view = "requests";
let paused = false;
let requests = [];
let looks = 0;

function make(tag, classes = "", ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { "X-Emulator-Token": token } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.payload?.message ?? `status ${response.status}`);
  return answer;
}

function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}

function titled(title, value) {
  const empty = value === null || value === undefined || value === "" ||
    (typeof value === "object" && Object.keys(value).length === 0);
  return empty ? null : make("div", "", make("h2", "", title), make("pre", "", pretty(value)));
}

function pairs(values) {
  const list = make("dl");
  for (const [name, value] of Object.entries(values)) {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    list.append(make("dt", "", name), make("dd", "", text));
  }
  return list;
}

// What is inside is made when it is opened first: a list of hundreds stays light.
function folded(summary, fill, key) {
  const details = make("details", "", summary);
  if (key !== undefined) details.dataset.key = key;
  details.addEventListener("toggle", async () => {
    if (!details.open || details.querySelector(".more")) return;
    const more = make("div", "more");
    details.append(more);
    try {
      more.append(...(await fill()).filter(Boolean));
    } catch (error) {
      more.append(make("p", "error", error.message));
    }
  });
  return make("li", "", details);
}

function show(name, items) {
  find(name).replaceChildren(...items);
  find(`view-${name}`).querySelector(".empty").hidden = items.length > 0;
}

function aboutWhom(request) {
  const said = { ...request.query, ...request.body };
  const name = identifiers.find((one) => said[one]);
  return name ? `${name} ${said[name]}` : "";
}

function requestItem(request) {
  const status = request.status ?? 0;
  const time = request.milliseconds === null ? "" : `${request.milliseconds.toFixed(1)} ms`;
  const summary = make("summary", "",
    make("span", `status s${Math.floor(status / 100)}`, request.status === null ? "none" : String(status)),
    make("span", "method", request.method),
    make("span", "what", make("b", "", request.path), make("span", "", aboutWhom(request))),
    make("span", "time", request.size ? `${request.size.toLocaleString()} B, ${time}` : time));
  return folded(summary, async () => [
    titled("Query", request.query), titled("Body", request.body),
    titled("Answer", request.answer), titled("Headers", request.headers),
  ], request.number);
}

function matches(request, text) {
  return !text || JSON.stringify(request).toLowerCase().includes(text);
}

function showRequests() {
  const text = find("search").value.trim().toLowerCase();
  const shown = requests.filter((request) => matches(request, text));
  show("requests", shown.map(requestItem));
  find("view-requests").querySelector(".empty").hidden = requests.length > 0;
  countRequests(shown.length);
}

function countRequests(shown) {
  find("request-count").textContent = shown === requests.length
    ? `the latest ${shown}` : `${shown} of the latest ${requests.length}`;
}

function come(request) {
  requests.unshift(request);
  requests.length = Math.min(requests.length, mostRequests);
  const text = find("search").value.trim().toLowerCase();
  if (view !== "requests" || !matches(request, text)) return;
  const list = find("requests");
  list.prepend(requestItem(request));
  while (list.children.length > mostRequests) list.lastChild.remove();
  find("view-requests").querySelector(".empty").hidden = true;
  countRequests(list.children.length);
}

function nameOf(stored) {
  const name = [stored.first_name, stored.last_name].filter(Boolean).join(" ");
  const ids = identifiers.filter((one) => stored[one]).map((one) => `${stored[one]}`);
  return [name || ids.shift() || "nobody by name", ids.join("  ")];
}

function profileItem({ key, stored }) {
  const [name, rest] = nameOf(stored);
  const summary = make("summary", "row",
    make("span", "what", make("b", "", name), make("span", "", rest)), make("span", "time", `profile ${key}`));
  return folded(summary, async () => {
    const whole = await ask(`profile?key=${key}`);
    const { custom_properties: custom, ...fields } = whole.stored;
    return [
      pairs(fields),
      titled("Custom properties", custom),
      titled("Devices", whole.devices.map((device) => device.did)),
      ...(whole.orders.length ? [make("h2", "", "Orders"), make("ol", "list", ...whole.orders.map(orderItem))] : []),
    ];
  }, key);
}

function deviceItem({ did, profile, seance }) {
  const summary = make("summary", "row",
    make("span", "what", make("b", "", did), make("span", "", seance ? `session ${seance}` : "")),
    make("span", "time", `profile ${profile}`));
  return folded(summary, async () => {
    const whole = await ask(`profile?key=${profile}`);
    const { custom_properties: custom, ...fields } = whole.stored;
    return [make("h2", "", `Profile ${profile}`), pairs(fields), titled("Custom properties", custom)];
  }, did);
}

function orderItem({ number, profile, order, products }) {
  const items = order.items ?? [];
  const what = items.map((item) => products[item.id] ?? item.id).join(", ");
  const day = new Date(order.date);
  const summary = make("summary", "row",
    make("span", "what", make("b", "", `Order ${order.id}`), make("span", "", what)),
    make("span", "time", isNaN(day) ? `profile ${profile}` : day.toISOString().slice(0, 10)));
  return folded(summary, async () => [make("pre", "", pretty(order))], number);
}

function faultWords(fault) {
  const what = fault.drop ? "drop the connection" : fault.truncate ? "cut the answer short"
    : fault.status !== null ? `answer ${fault.status}` : "delay";
  const parts = [what, `at ${fault.method ?? ""} ${fault.path ?? "every path"}`];
  if (fault.delay) parts.push(`after ${fault.delay} s`);
  if (fault.retry_after !== null) parts.push(`Retry-After ${fault.retry_after} s`);
  if (fault.probability < 1) parts.push(`${fault.probability * 100} %`);
  if (fault.times !== null) parts.push(`at most ${fault.times} times`);
  return parts.join(", ");
}

function showFaults(faults) {
  find("fault-count").textContent = faults.length ? String(faults.length) : "";
  show("faults", faults.map((fault) => {
    const stop = make("button", "", "Stop");
    stop.type = "button";
    stop.addEventListener("click", async () => {
      showFaults(await ask(`faults?number=${fault.number}`, { method: "DELETE" }));
    });
    const hits = `struck ${fault.hits} time${fault.hits === 1 ? "" : "s"}`;
    return make("li", "fault", make("span", "what", make("b", "", faultWords(fault)), make("span", "", hits)), stop);
  }));
}

async function beginFault(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const number = (name) => (form.get(name) === "" ? null : Number(form.get(name)));
  const kind = form.get("kind");
  const fault = {
    path: form.get("path") || null, probability: number("percent") / 100,
    times: number("times"), delay: number("delay") ?? 0,
  };
  if (/^\d+$/.test(kind)) fault.status = Number(kind);
  if (kind === "429") fault.retry_after = number("retry_after");
  if (kind === "drop" || kind === "truncate") fault[kind] = true;
  try {
    showFaults(await ask("faults", { method: "POST", body: JSON.stringify(fault) }));
    find("fault-error").textContent = "";
  } catch (error) {
    find("fault-error").textContent = error.message;
  }
}

const items = { profiles: profileItem, devices: deviceItem, orders: orderItem };

async function look() {
  if (view === "requests") return showRequests();
  if (view === "faults") return showFaults((await ask("overview")).faults);
  // What was typed meanwhile asks again; an answer that comes late is not shown over a later one.
  const mine = ++looks;
  const asked = view;
  const found = await ask(`${asked}?search=${encodeURIComponent(find("search").value)}`);
  if (mine === looks && asked === view) show(asked, found.map(items[asked]));
}

function choose(name) {
  view = views.includes(name) ? name : "requests";
  for (const one of views) {
    find(`view-${one}`).hidden = one !== view;
    find(`tab-${one}`).setAttribute("aria-selected", String(one === view));
  }
  find("search").hidden = view === "faults";
  history.replaceState(null, "", `#${view}`);
  look();
}

function listen() {
  const stream = new EventSource("stream");
  const live = find("live");
  stream.onopen = async () => {
    live.className = "live on";
    live.textContent = "live";
    requests = await ask("requests");
    look();
  };
  stream.onmessage = (event) => { if (!paused) come(JSON.parse(event.data)); };
  stream.onerror = () => {
    live.className = "live off";
    live.textContent = "the emulator does not answer";
  };
}

async function begin() {
  document.querySelector("nav").addEventListener("click", (event) => {
    const tab = event.target.closest("[data-view]");
    if (tab) choose(tab.dataset.view);
  });
  document.querySelector("nav").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !event.target.dataset.view) return;
    const next = views[(views.indexOf(view) + step + views.length) % views.length];
    choose(next);
    find(`tab-${next}`).focus();
  });
  find("search").addEventListener("input", look);
  find("fault-form").addEventListener("submit", beginFault);
  find("pause").addEventListener("click", async () => {
    paused = !paused;
    find("pause").textContent = paused ? "Go on" : "Pause";
    if (!paused) requests = await ask("requests");
    showRequests();
  });
  find("clear").addEventListener("click", async () => {
    requests = await ask("requests", { method: "DELETE" });
    showRequests();
  });
  find("copy").addEventListener("click", () => navigator.clipboard?.writeText(find("snippet").textContent));
  find("snippet").textContent = `export PERSONACLICK_API_URL=${location.origin}/`;
  const about = await ask("overview");
  find("shop").textContent = `shop ${about.shop_id.slice(0, 8)}… at ${location.host}`;
  find("snippet").textContent += `\nexport PERSONACLICK_SHOP_ID=${about.shop_id}`;
  showFaults(about.faults);
  choose(location.hash.slice(1));
  listen();
}

begin();
