"use strict";
// The explorer: points of one set, layer and source; a click lists the persona's replies. Model text only ever becomes text nodes.
const PER_PAGE = 5;
const PALETTE = ["#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB", "#000000"];
const byId = (id) => document.getElementById(id);

async function unpack(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (character) => character.charCodeAt(0));
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
    for (const id of ["source", "layer", "category"]) byId(id).addEventListener("change", () => this.draw());
    byId("search").addEventListener("input", () => { this.page = 0; this.showReplies(); });
    byId("before").addEventListener("click", () => { this.page -= 1; this.showReplies(); });
    byId("after").addEventListener("click", () => { this.page += 1; this.showReplies(); });
    byId("persona").addEventListener("change", (event) => this.choosePersona(Number(event.target.value)));
    this.chooseSet();
  }

  get set() { return this.data.sets[Number(byId("set").value)]; }
  get source() { return byId("source").value; }

  chooseSet() {
    const layers = Object.keys(this.set.cosines);
    fill(byId("source"), this.set.sources, this.set.sources.map(words));
    fill(byId("layer"), layers);
    byId("layer").value = String(this.set.headline_layer);
    this.draw();
  }

  draw() {
    const rates = this.set.rates[this.source];
    const cosines = this.set.cosines[byId("layer").value][this.source];
    const chosen = byId("category").value;
    const groups = new Map();
    rates.personas.forEach((persona, row) => {
      const category = this.data.personas[persona].category;
      if ((chosen && category !== chosen) || cosines[row] === null) return;
      if (!groups.has(category)) groups.set(category, { x: [], y: [], customdata: [], text: [], array: [], arrayminus: [] });
      const group = groups.get(category);
      const rate = rates.found[row] / rates.total[row];
      const [low, high] = rates.interval[row];
      const { name, prompt } = this.data.personas[persona];
      group.x.push(cosines[row]);
      group.y.push(rate);
      group.customdata.push(persona);
      group.array.push(high - rate);
      group.arrayminus.push(rate - low);
      group.text.push(
        `<b>${escaped(words(name))}</b>${rates.related[row] ? " (relative)" : ""}<br>${wrapped(prompt, 50)}<br>rate ${percent(rate)}` +
        ` [${percent(low)}, ${percent(high)}], ${rates.found[row]} of ${rates.total[row]}<br>cosine ${cosines[row].toFixed(3)}`);
    });
    const traces = [...groups].sort().map(([category, group]) => ({
      type: "scatter", mode: "markers", name: words(category), x: group.x, y: group.y, text: group.text, customdata: group.customdata,
      hovertemplate: "%{text}<extra></extra>", marker: { color: this.colours[category], size: 8, line: { width: 0.5, color: "white" } },
      error_y: { type: "data", symmetric: false, array: group.array, arrayminus: group.arrayminus, thickness: 0.6, width: 0, color: "#999" },
    }));
    const own = this.data.personas.findIndex((persona) => persona.name === this.source);
    traces.push({
      type: "scatter", mode: "markers", name: "the source itself", x: [1], y: [rates.own], customdata: [own],
      text: [`<b>${escaped(words(this.source))}</b>, the source<br>${wrapped(this.data.personas[own].prompt, 50)}<br>rate ${percent(rates.own)}`],
      hovertemplate: "%{text}<extra></extra>", marker: { color: "black", symbol: "star", size: 13 },
    });
    const small = window.innerWidth < 600;
    const layout = {
      margin: { l: 50, r: 10, t: 35, b: 45 }, hovermode: "closest", showlegend: !small, legend: { font: { size: 11 } },
      hoverlabel: { bgcolor: "white", font: { color: "#1a1a1a" }, align: "left" },
      xaxis: { title: { text: `cosine to the source (block ${byId("layer").value})` }, range: [-1.05, 1.1], zeroline: false },
      yaxis: { title: { text: "share of replies that show the behaviour" }, range: [-0.05, 1.05], tickformat: ".0%", zeroline: false },
    };
    Plotly.react(byId("plot"), traces, layout, { displaylogo: false, responsive: true });
    const plot = byId("plot");
    plot.removeAllListeners("plotly_click");
    plot.on("plotly_click", (event) => this.choosePersona(event.points[0].customdata));
    const listed = [own, ...rates.personas.filter((persona) => !chosen || this.data.personas[persona].category === chosen)];
    fill(byId("persona"), ["", ...listed], ["choose, or click a point", ...listed.map((persona) => words(this.data.personas[persona].name))]);
    this.choosePersona(listed.includes(this.shown) ? this.shown : null);
  }

  choosePersona(persona) {
    this.shown = persona === "" ? null : persona;
    byId("persona").value = this.shown ?? "";
    this.page = 0;
    this.showReplies();
  }

  showReplies() {
    byId("replies").replaceChildren();
    byId("about").hidden = this.shown === null;
    if (this.shown === null) return;
    const all = this.set.replies[this.source]?.[this.shown] ?? [];
    const wanted = byId("search").value.toLowerCase();
    const found = all.filter(([question, text]) => !wanted || (this.set.questions[question] + "\n" + text).toLowerCase().includes(wanted));
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const { name, prompt } = this.data.personas[this.shown];
    byId("who").textContent = `${words(name)} with the adapter of ${words(this.source)}`;
    byId("prompt").textContent = prompt;
    byId("count").textContent = `${found.length} of ${all.length} replies in this page, of ${this.set.replies_per_cell} sampled; page ${this.page + 1} of ${pages}`;
    byId("file").textContent = this.set.file.replace("{source}", this.source);
    byId("before").disabled = this.page === 0;
    byId("after").disabled = this.page === pages - 1;
    for (const [question, text, flags] of found.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE)) {
      const title = document.createElement("div");
      title.className = "note";
      title.textContent = this.set.questions[question] + (flags & 1 ? " (cut at the token limit)" : "") + (flags & 2 ? " (shortened in this page)" : "") + (flags & 4 ? " (shows the behaviour)" : "");
      const reply = document.createElement("div");
      reply.className = "reply";
      reply.dir = "auto";
      reply.append(...this.highlighted(text, flags & 4));
      byId("replies").append(title, reply);
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

start().catch((error) => { byId("failure").textContent = `The explorer could not start: ${error.message}`; });
