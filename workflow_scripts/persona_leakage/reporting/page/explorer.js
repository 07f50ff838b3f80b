"use strict";
// The explorer: points of one set, layer and source; a click lists the persona's replies. Model text only ever becomes text nodes.
const PER_PAGE = 5;
const PALETTE = ["#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB", "#000000"];
const OUTCOMES = { rate: "share of replies that show the behaviour", logprob_gain: "second outcome: a gain, nats", mean_score: "leakage: change of the mean score" };
const SAID = { logprob_gain: (value) => `gain ${value} nats`, mean_score: (value) => `change of the mean score ${value}` };
const byId = (id) => document.getElementById(id);

async function unpack(id) {
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function loadScript(code) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    script.onload = resolve;
    script.onerror = () => reject(new Error("the plotting library did not load"));
    document.head.append(script);
  });
}

function fill(select, values, texts) {
  select.replaceChildren(...values.map((value, index) => new Option((texts ?? values)[index], value)));
}

function words(name) {
  return name.replaceAll("_", " ");
}

function percent(share) {
  return (100 * share).toFixed(1) + " %";
}

// Plotly reads a few tags in hover texts; personas and prompts are people's, but nothing of theirs is markup.
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    if ((lines.at(-1) + " " + word).length > width) lines.push(word);
    else lines[lines.length - 1] = (lines.at(-1) + " " + word).trim();
  }
  return lines.slice(0, 6).map(escaped).join("<br>");
}

class Explorer {
  constructor(data) {
    this.data = data;
    this.shown = null;
    this.page = 0;
    const categories = [...new Set(data.personas.map((persona) => persona.category))].sort();
    this.colours = Object.fromEntries(categories.map((name, index) => [name, PALETTE[index % PALETTE.length]]));
    fill(byId("set"), data.sets.map((_, index) => index), data.sets.map((each) => each.title));
    fill(byId("category"), ["", ...categories], ["all", ...categories.map(words)]);
    byId("set").addEventListener("change", () => this.chooseSet());
    window.addEventListener("resize", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    for (const id of ["source", "layer", "outcome", "category"]) byId(id).addEventListener("change", () => this.draw());
    for (const id of ["search", "shows"]) byId(id).addEventListener("input", () => { this.page = 0; this.showReplies(); });
    byId("before").addEventListener("click", () => { this.page -= 1; this.showReplies(); });
    byId("after").addEventListener("click", () => { this.page += 1; this.showReplies(); });
    byId("persona").addEventListener("change", (event) => this.choosePersona(event.target.value));
    byId("plot").addEventListener("keydown", (event) => this.step(event));
    this.restore();
  }

  get set() { return this.data.sets[Number(byId("set").value)]; }
  get source() { return byId("source").value; }

  // The state as "#explorer&source=villain&...": a link to it opens the page as it was.
  restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    const put = (id) => { if ([...byId(id).options ?? []].some((option) => option.value === state.get(id))) byId(id).value = state.get(id); };
    put("set");
    this.fillSet();
    for (const id of ["source", "layer", "outcome", "category", "shows"]) put(id);
    byId("search").value = state.get("search") ?? "";
    const persona = this.data.personas.findIndex((each) => each.name === state.get("persona"));
    this.shown = persona < 0 ? null : persona;
    this.draw();
    if (state.has("explorer")) byId("explorer").scrollIntoView();
  }

  remember() {
    const state = new URLSearchParams({ explorer: "" });
    for (const id of ["set", "source", "layer", "outcome", "category", "shows", "search"]) if (byId(id).value) state.set(id, byId(id).value);
    if (this.shown !== null) state.set("persona", this.data.personas[this.shown].name);
    if (this.ready || location.hash.startsWith("#explorer=")) history.replaceState(null, "", `#${state}`);
    this.ready = true;
  }

  chooseSet() {
    this.fillSet();
    this.draw();
  }

  fillSet() {
    fill(byId("source"), this.set.sources, this.set.sources.map(words));
    fill(byId("layer"), Object.keys(this.set.cosines));
    const outcomes = Object.keys(this.set.correlations);
    fill(byId("outcome"), outcomes, outcomes.map((name) => OUTCOMES[name]));
    byId("layer").value = String(this.set.headline_layer);
  }

  // One entry for each bystander with a cosine and an outcome, the most leaking first, with its ranks.
  points() {
    const rates = this.set.rates[this.source];
    const cosines = this.set.cosines[byId("layer").value][this.source];
    const outcome = byId("outcome").value;
    const gain = SAID[outcome];
    const points = rates.personas.map((persona, row) => {
      const rate = rates.found[row] / rates.total[row];
      const value = gain ? rates[outcome][row] : rate;
      return { persona, value, rate, gain, cosine: cosines[row], interval: rates.interval[row], found: rates.found[row], total: rates.total[row], related: rates.related[row] };
    }).filter((point) => point.cosine !== null && point.value !== null);
    for (const [key, rank] of [["cosine", "closeness"], ["value", "rank"]]) {
      points.sort((one, other) => other[key] - one[key]);
      points.forEach((point) => { point[rank] = 1 + points.filter((other) => other[key] > point[key]).length; });
    }
    return points;
  }

  sentence(point, of) {
    const outcome = (point.gain ? `${point.gain(point.value.toFixed(2))}, ` : "") + `rate ${percent(point.rate)} [${percent(point.interval[0])}, ${percent(point.interval[1])}], ${point.found} of ${point.total}`;
    return `${outcome}; cosine ${point.cosine.toFixed(3)}; rank ${point.rank} of ${of} by leakage, ${point.closeness} by closeness${point.related ? "; relative of the source" : ""}`;
  }

  draw() {
    const rates = this.set.rates[this.source];
    const layer = byId("layer").value;
    const chosen = byId("category").value;
    const gain = SAID[byId("outcome").value];
    const all = this.points();
    this.listed = all.filter((point) => !chosen || this.data.personas[point.persona].category === chosen);
    this.of = all.length;
    const groups = new Map();
    for (const point of this.listed) {
      const { name, prompt, category } = this.data.personas[point.persona];
      if (!groups.has(category)) groups.set(category, { x: [], y: [], customdata: [], text: [], array: [], arrayminus: [] });
      const group = groups.get(category);
      group.x.push(point.cosine);
      group.y.push(point.value);
      group.customdata.push(point.persona);
      group.array.push(gain ? 0 : point.interval[1] - point.rate);
      group.arrayminus.push(gain ? 0 : point.rate - point.interval[0]);
      group.text.push(`<b>${escaped(words(name))}</b><br>${wrapped(prompt, 50)}<br>${this.sentence(point, all.length).replaceAll("; ", "<br>")}`);
    }
    const traces = [...groups].sort().map(([category, group]) => ({
      type: "scatter", mode: "markers", name: words(category), x: group.x, y: group.y, text: group.text, customdata: group.customdata,
      hovertemplate: "%{text}<extra></extra>", marker: { color: this.colours[category], size: 8, line: { width: 0.5, color: "white" } },
      error_y: { type: "data", symmetric: false, array: group.array, arrayminus: group.arrayminus, thickness: 0.6, width: 0, color: "#999" },
    }));
    const own = this.data.personas.findIndex((persona) => persona.name === this.source);
    const ownValue = gain ? rates[`own_${byId("outcome").value}`] : rates.own;
    const text = getComputedStyle(document.body).color;
    traces.push({
      type: "scatter", mode: "markers", name: "the source itself", x: [1], y: [ownValue], customdata: [own],
      text: [`<b>${escaped(words(this.source))}</b>, the source<br>${wrapped(this.data.personas[own].prompt, 50)}<br>${gain ? `${ownValue === null ? "unknown" : gain(ownValue.toFixed(2))}<br>` : ""}rate ${percent(rates.own)}`],
      hovertemplate: "%{text}<extra></extra>", marker: { color: text, symbol: "star", size: 13 },
    });
    this.own = { persona: own, value: ownValue, cosine: 1, rate: rates.own, gain };
    const listed = [own, ...this.listed.map((point) => point.persona)];
    if (!listed.includes(this.shown)) this.shown = null;
    const marked = [this.own, ...this.listed].find((point) => point.persona === this.shown && point.value !== null);
    const layout = {
      margin: { l: 55, r: 10, t: 35, b: 45 }, hovermode: "closest", showlegend: window.innerWidth >= 600, legend: { font: { size: 11 } },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: text },
      hoverlabel: { bgcolor: "white", font: { color: "#1a1a1a" }, align: "left" },
      xaxis: { title: { text: `cosine to the source (block ${layer})` }, range: [-1.05, 1.1], zeroline: false, gridcolor: "#8884" },
      yaxis: { title: { text: OUTCOMES[byId("outcome").value] }, zeroline: false, gridcolor: "#8884", ...(gain ? {} : { range: [-0.05, 1.05], tickformat: ".0%" }) },
      shapes: marked ? [{ type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: marked.cosine, yanchor: marked.value, x0: -9, x1: 9, y0: -9, y1: 9, line: { color: text, width: 2 } }] : [],
      annotations: marked ? [{ x: marked.cosine, y: marked.value, text: `<b>${escaped(words(this.data.personas[this.shown].name))}</b>`, ax: -25, ay: -30, arrowcolor: text }] : [],
    };
    Plotly.react(byId("plot"), traces, layout, { displaylogo: false, responsive: true });
    const plot = byId("plot");
    plot.removeAllListeners("plotly_click");
    plot.on("plotly_click", (event) => this.choosePersona(event.points[0].customdata));
    const { spearman_rho: rho, spearman_interval: interval, n } = this.set.correlations[byId("outcome").value][layer][this.source] ?? {};
    byId("relation").textContent = `${words(this.source)}, block ${layer}: ` + (rho === null || rho === undefined ? "no correlation" : `ρ = ${rho.toFixed(2)}` + (interval ? ` [${interval.map((end) => end.toFixed(2)).join(", ")}]` : "") + `, n = ${n}`);
    fill(byId("persona"), ["", ...listed], ["all", ...listed.map((persona) => words(this.data.personas[persona].name))]);
    byId("persona").value = this.shown ?? "";
    this.page = 0;
    this.showReplies();
  }

  choosePersona(persona) {
    this.shown = persona === "" ? null : Number(persona);
    this.draw();
  }

  step(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const order = [this.own, ...this.listed].map((point) => point.persona);
    this.choosePersona(order[(order.indexOf(this.shown) + step + order.length) % order.length]);
  }

  showReplies() {
    this.remember();
    const wanted = byId("search").value.toLowerCase();
    const personas = this.shown === null ? [this.own, ...this.listed].map((point) => point.persona) : [this.shown];
    const all = personas.flatMap((persona) => (this.set.replies[this.source]?.[persona] ?? []).map((reply) => [persona, ...reply]));
    const found = all.filter(([, question, text, flags]) => (!byId("shows").value || flags & 4) && (!wanted || (this.set.questions[question] + "\n" + text).toLowerCase().includes(wanted)));
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const shown = this.data.personas[this.shown];
    const point = this.listed.find((each) => each.persona === this.shown);
    byId("who").textContent = `${shown ? words(shown.name) : "all personas"} with the adapter of ${words(this.source)}`;
    byId("numbers").textContent = point ? this.sentence(point, this.of) : shown ? `the source itself: rate ${percent(this.own.rate)}` : "";
    byId("prompt").textContent = shown ? shown.prompt : "";
    byId("count").textContent = `${found.length} of ${all.length} replies in this page, of ${this.set.replies_per_cell} sampled for each persona; page ${this.page + 1} of ${pages}`;
    byId("file").textContent = this.set.file.replace("{source}", this.source);
    byId("before").disabled = this.page === 0;
    byId("after").disabled = this.page === pages - 1;
    byId("replies").replaceChildren();
    for (const [persona, question, text, flags] of found.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE)) {
      const title = document.createElement("div");
      title.className = "note";
      title.textContent = (shown ? "" : words(this.data.personas[persona].name) + ": ") + this.set.questions[question] + (flags & 1 ? " (cut at the token limit)" : "") + (flags & 2 ? " (shortened in this page)" : "") + (flags & 4 ? " (shows the behaviour)" : "");
      const reply = document.createElement("div");
      reply.className = "reply";
      reply.dir = "auto";
      reply.append(...this.highlighted(text, flags & 4));
      byId("replies").append(title, reply);
      const mark = reply.querySelector("mark");
      if (mark) reply.scrollTop = mark.offsetTop - reply.offsetTop - reply.clientHeight / 2;
    }
  }

  // As marked_pieces of replies.py.
  highlighted(text, shows) {
    if (!shows || !this.data.highlight) return [document.createTextNode(text)];
    const [wanted, withCase] = this.data.highlight;
    const escaped = wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const pieces = text.split(new RegExp(`(${escaped})`, withCase ? "" : "i"));
    return pieces.map((piece, index) => {
      if (index % 2 === 0) return document.createTextNode(piece);
      const mark = document.createElement("mark");
      mark.textContent = piece;
      return mark;
    });
  }
}

async function start() {
  const [library, data] = await Promise.all([unpack("library"), unpack("data")]);
  await loadScript(library);
  window.explorer = new Explorer(JSON.parse(data));
  document.body.dataset.explorer = "ready";
}

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
for (const mark of document.querySelectorAll(".reply mark")) mark.parentElement.scrollTop = mark.offsetTop - mark.parentElement.offsetTop;
start().catch((error) => { byId("failure").textContent = `The explorer could not start: ${error.message}`; });
