// Everything shown comes from whoever calls the emulator: it is only ever set as text.

const token = document.querySelector('meta[name="emulator-token"]').content;
const find = (id) => document.getElementById(id);
const views = ["requests", "profiles", "devices", "orders", "products", "faults"];
const masked = "••••";
const mostRequests = 500;
const identifiers = ["email", "phone", "external_id", "loyalty_id", "telegram_id", "id", "did"];

let view = "requests";
let paused = false;
let requests = [];
let searches = 0;

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

// What is open stays open, and as it is: somebody reads in it.
function show(name, items) {
  const open = new Map([...find(name).querySelectorAll(":scope > li > details[open]")].map(
    (details) => [details.dataset.key, details.parentElement]));
  const keyOf = (item) => item.querySelector("details")?.dataset.key;
  find(name).replaceChildren(...items.map((item) => open.get(keyOf(item)) ?? item));
  find(`view-${name}`).querySelector(".empty").hidden = items.length > 0;
}

function timeOf(request) {
  const at = new Date(request.at);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// A command that asks the same again; the secret comes from the shell that runs it.
function curlOf(request) {
  const query = Object.entries(request.query).map(([name, value]) =>
    `${encodeURIComponent(name)}=${value === masked ? masked : encodeURIComponent(value)}`);
  const url = `${location.origin}${request.path}${query.length ? `?${query.join("&")}` : ""}`;
  const quoted = (text) =>
    `'${text.replaceAll("'", "'\\''").replaceAll(masked, `'"$PERSONACLICK_SHOP_SECRET"'`)}'`;
  const parts = ["curl", ...(request.method === "GET" ? [] : ["-X", request.method]), quoted(url)];
  if (request.body) {
    parts.push("-H", "'Content-Type: application/json'", "-d", quoted(JSON.stringify(request.body)));
  } else if (request.size) {
    parts.push("-H", "'Content-Type: application/json'", "-d", "@FILE");
  }
  return parts.join(" ");
}

function copyButton(title, text) {
  const button = make("button", "", title);
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.replaceWith(make("pre", "", text()));
    }
    setTimeout(() => { button.textContent = title; }, 1500);
  });
  return button;
}

function aboutWhom(request) {
  const said = { ...request.query, ...request.body };
  const name = identifiers.find((one) => said[one]);
  return name ? `${name} ${said[name]}` : "";
}

function requestItem(request) {
  const status = request.status ?? 0;
  const time = `${request.milliseconds.toFixed(1)} ms`;
  const summary = make("summary", "request",
    make("time", "time", timeOf(request)),
    make("span", `status s${Math.floor(status / 100)}`, request.status === null ? "none" : String(status)),
    make("span", "method", request.method),
    make("span", "what", make("b", "", request.path), make("span", "", aboutWhom(request))),
    make("span", "time more-space", request.size ? `${request.size.toLocaleString()} B, ${time}` : time));
  return folded(summary, async () => [
    make("p", "bar", copyButton("Copy as curl", () => curlOf(request))),
    titled("Query", request.query), titled("Body", request.body),
    titled("Answer", request.answer), titled("Headers", request.headers),
  ], `${request.number} ${request.at}`); // another emulator counts from 1, too
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

// Requests that come while the others are asked for are kept.
async function refresh() {
  requests = [];
  const known = await ask("requests");
  const newest = known[0]?.number ?? 0;
  requests = [...requests.filter((request) => request.number > newest), ...known];
}

function come(request) {
  if (requests.some((one) => one.number === request.number)) return;
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
  return [name || ids.shift() || "no name", ids.join("  ")];
}

// What the service would compute from behaviour: shown, and changed, as JSON.
function computedForm(whole) {
  const text = make("textarea");
  text.value = JSON.stringify(whole.computed, null, 2);
  text.rows = Math.min(12, text.value.split("\n").length + 1);
  text.setAttribute("aria-label", "Computed blocks as JSON");
  text.spellcheck = false;
  const save = make("button", "", "Save");
  const said = make("span", "error");
  const form = make("form", "computed", text, make("p", "bar", save, said));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify(JSON.parse(text.value));
      await ask(`computed?key=${whole.key}`, { method: "POST", body });
      said.className = "quiet";
      said.textContent = "saved";
    } catch (error) {
      said.className = "error";
      said.textContent = error.message;
    }
  });
  return form;
}

function profileItem({ key, stored }) {
  const [name, rest] = nameOf(stored);
  const summary = make("summary", "row",
    make("span", "what", make("b", "", name), make("span", "", rest)), make("span", "time", `profile ${key}`));
  return folded(summary, async () => {
    const whole = await ask(`profile?key=${key}`);
    const { custom_properties: custom, ...fields } = whole.stored;
    for (const name of Object.keys(whole.computed)) delete fields[name];
    return [
      pairs(fields),
      titled("Custom properties", custom),
      make("h2", "", "Computed blocks"), computedForm(whole),
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
  const day = new Date(order.date * 1000);
  const summary = make("summary", "row",
    make("span", "what", make("b", "", `Order ${order.id}`), make("span", "", what)),
    make("span", "time", !order.date ? `profile ${profile}` : day.toISOString().slice(0, 10)));
  return folded(summary, async () => [make("pre", "", pretty(order))], number);
}

function productItem(product) {
  const price = product.price_full_formatted ?? product.price_formatted ?? "";
  const summary = make("summary", "row",
    make("span", "what", make("b", "", product.name ?? product.id), make("span", "", `id ${product.id}`)),
    make("span", "time", price));
  return folded(summary, async () => [make("pre", "", pretty(product))], product.id);
}

function faultWords(fault) {
  const what = fault.drop ? "drop the connection" : fault.truncate ? "truncate the answer"
    : fault.status !== null ? `answer ${fault.status}` : fault.delay ? "delay" : "answer otherwise";
  const where = [fault.method, fault.path ?? "every path"].filter(Boolean).join(" ");
  const parts = [`${what} at ${where}`];
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

const items = { profiles: profileItem, devices: deviceItem, orders: orderItem, products: productItem };

async function search() {
  if (view === "requests") return showRequests();
  if (view === "faults") return showFaults(await ask("faults"));
  // What was typed meanwhile asks again; an answer that comes late is not shown over a later one.
  const mine = ++searches;
  const asked = view;
  const found = await ask(`${asked}?search=${encodeURIComponent(find("search").value)}`);
  if (mine === searches && asked === view) show(asked, found.map(items[asked]));
}

// The faults, the counts on the tabs, and what imports ignored; the list that is shown is brought
// up to date.
function showState({ faults, stored, ignored, ignored_entries: count }) {
  showFaults(faults);
  for (const name of Object.keys(items)) {
    find(`count-${name}`).textContent = stored[name] ? stored[name].toLocaleString() : "";
  }
  const reasons = Object.entries(ignored).map(([reason, times]) => `${reason} (${times})`);
  find("ignored").hidden = !count;
  find("ignored").textContent =
    `Imports ignored ${count} ${count === 1 ? "entry" : "entries"}: ${reasons.join(", ")}`;
  // Not while somebody types in it: its field would lose the cursor.
  if (items[view] && !find(view).contains(document.activeElement)) search();
}

async function reset() {
  if (!confirm("Delete all profiles, devices, orders, products, requests and faults?")) return;
  await ask("reset", { method: "POST" });
  requests = [];
  search();
}

function choose(name) {
  view = views.includes(name) ? name : "requests";
  for (const one of views) {
    find(`view-${one}`).hidden = one !== view;
    find(`tab-${one}`).setAttribute("aria-selected", String(one === view));
  }
  find("search").hidden = view === "faults";
  history.replaceState(null, "", `#${view}`);
  search();
}

function listen() {
  const stream = new EventSource("stream");
  const live = find("live");
  stream.onopen = async () => {
    live.className = "live on";
    live.textContent = "live";
    await refresh();
    search();
  };
  stream.onmessage = (event) => { if (!paused) come(JSON.parse(event.data)); };
  stream.addEventListener("state", (event) => showState(JSON.parse(event.data)));
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
  find("search").addEventListener("input", search);
  find("fault-form").addEventListener("submit", beginFault);
  find("pause").addEventListener("click", async () => {
    paused = !paused;
    find("pause").textContent = paused ? "Resume" : "Pause";
    if (!paused) await refresh();
    showRequests();
  });
  find("clear").addEventListener("click", async () => {
    requests = await ask("requests", { method: "DELETE" });
    showRequests();
  });
  find("reset").addEventListener("click", reset);
  find("copy").replaceWith(copyButton("Copy", () => find("snippet").textContent));
  find("snippet").textContent = `export PERSONACLICK_API_URL=${location.origin}/`;
  const about = await ask("status");
  find("shop").textContent = `shop ${about.shop_id.slice(0, 8)}… at ${location.host}`;
  find("snippet").textContent += `\nexport PERSONACLICK_SHOP_ID=${about.shop_id}`;
  showState(about);
  choose(location.hash.slice(1));
  listen();
}

begin();
