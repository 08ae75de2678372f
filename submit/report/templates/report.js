// The report's page: plain JavaScript, no library. Names become text, never markup.
"use strict";
window.VIDEOS = window.VIDEOS || {};
(() => {
  const data = window.REPORT, $ = (id) => document.getElementById(id);
  const views = (data.truth ? ["truth"] : []).concat(data.runs), scored = data.truth;
  // Okabe and Ito's colours, each with a dash or a shape of its own.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888"];
  const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 3", "12 3"];
  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) {
      // The page's policy forbids styles in markup.
      if (key === "style") node.style.cssText = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  };
  const shown = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const name = (one) => data.videos[one.video].name;
  const mean = (list) => {
    const known = list.filter((x) => x !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const call = (one) => `${name(one)}, object ${one.id}`;

  // Strips: frames and masks below each other; a position shows one of them.
  const place = (layer, index, count) => {
    layer.style.backgroundSize = `100% ${count * 100}%`;
    layer.style.backgroundPosition = `0 ${count > 1 ? (100 * index) / (count - 1) : 0}%`;
  };
  const stack = (video, files, index, count, size, opacity) => {
    const inner = make("div", { className: "zoomed" });
    files.forEach((file, depth) => {
      const layer = make("div", { className: "layer" });
      layer.style.backgroundImage = `url("videos/${video}/${file}")`;
      if (depth) layer.style.opacity = opacity;
      place(layer, index, count);
      inner.append(layer);
    });
    const box = make("div", { className: "stack" }, inner);
    box.style.aspectRatio = `${size[1]} / ${size[0]}`;
    return box;
  };
  const load = (video) => new Promise((resolve, reject) => {
    if (window.VIDEOS[video]) return resolve(window.VIDEOS[video]);
    document.head.append(make("script", {
      src: `videos/${video}.js`, onload: () => resolve(window.VIDEOS[video]), onerror: reject,
    }));
  });

  // Galleries.
  const galleries = [];
  if (scored) galleries.push(["worst", [...data.objects].sort((a, b) => mean(a.scores) - mean(b.scores)), (o) => `J&Ḟ ${o.scores.map((x) => shown(x, 1)).join(" · ")}`]);
  if (scored && data.runs.length > 1) {
    const gap = (o) => Math.max(...o.scores) - Math.min(...o.scores);
    galleries.push(["most disputed", [...data.objects].sort((a, b) => gap(b) - gap(a)), (o) => `J&Ḟ ${o.scores.map((x) => shown(x, 1)).join(" · ")}`]);
    for (let a = 0; a < data.runs.length; a++) for (let b = a + 1; b < data.runs.length; b++) {
      const change = (o) => o.scores[b] - o.scores[a], words = (o) => `${change(o) > 0 ? "+" : ""}${shown(change(o), 1)}`;
      const pair = `from ${data.runs[a]} to ${data.runs[b]}`;
      galleries.push([`most improved ${pair}`, data.objects.filter((o) => change(o) > 0).sort((x, y) => change(y) - change(x)), words]);
      galleries.push([`most worsened ${pair}`, data.objects.filter((o) => change(o) < 0).sort((x, y) => change(x) - change(y)), words]);
    }
  }
  if (data.objects.some((o) => o.doubt !== null)) galleries.push(["look at these first", data.objects.filter((o) => o.doubt !== null).sort((a, b) => b.doubt - a.doubt), (o) => (o.agreement === null ? "" : `agreement ${shown(o.agreement, 1)}`)]);
  if (!galleries.length) galleries.push(["all", data.objects, () => ""]);
  galleries.forEach(([title], i) => $("gallery").append(make("option", { value: i, textContent: title })));
  const fill = async () => {
    const [, list, words] = galleries[$("gallery").value];
    const cards = await Promise.all(list.slice(0, 12).map(async (one) => {
      const video = await load(one.video), count = video.shown.length;
      const row = video.objects.indexOf(one.id), last = views.length - 1;
      // The shown frame with the lowest J of the last run, or the middle.
      const js = scored && video.scores.length ? video.scores.find((s) => s.j)?.j[row] : null;
      let index = count >> 1;
      if (js) video.shown.forEach((t, i) => { if (js[t] !== null && (js[video.shown[index]] === null || js[t] < js[video.shown[index]])) index = i; });
      const box = stack(one.video, ["frames.webp", `${last}.png`], index, count, video.size, 1);
      const button = make("button", { type: "button" }, box, make("span", { className: "words" }, make("b", { textContent: call(one) }), words(one)));
      button.addEventListener("click", () => open(one, index));
      return make("li", {}, button);
    }));
    $("cards").replaceChildren(...cards);
  };
  $("gallery").addEventListener("change", fill);

  // The table.
  const columns = [["video", name, "text"], ["object", (o) => o.id]];
  if (scored) data.runs.forEach((run, i) => columns.push([run, (o) => o.scores[i] ?? null, "score"]));
  columns.push(["area %", (o) => o.area, "score"], ["frames", (o) => o.length], ["objects", (o) => o.objects], ["gone", (o) => o.gone]);
  if (data.objects.some((o) => o.agreement !== null)) columns.push(["agreement", (o) => o.agreement, "score"]);
  if (data.objects.some((o) => o.expected !== null)) columns.push(["expected", (o) => o.expected, "score"]);
  columns.push(["findings", (o) => o.findings.length]);
  if (data.objects.some((o) => o.why.length)) columns.push(["why", (o) => o.why.join("; "), "why"]);
  const told = (finding) => `${data.runs[finding[0]]}: ${finding[1]}: ${finding[3]}`;
  // What the check found: each kind of finding, with the number of objects that have it.
  const kinds = new Map();
  for (const o of data.objects) for (const code of new Set(o.findings.map((f) => f[1]))) kinds.set(code, (kinds.get(code) || 0) + 1);
  const offered = [["", "all objects"], ["*", "with findings"], ["-", "without findings"], ...[...kinds].sort().map(([code, count]) => [code, `${code} (${count})`])];
  $("finding").append(...offered.map(([value, textContent]) => make("option", { value, textContent })));
  const fits = (o, code) => !code || (code === "*" ? o.findings.length > 0 : code === "-" ? !o.findings.length : o.findings.some((f) => f[1] === code));
  let sorted = scored ? 2 : 0, upward = true, limit = 100;
  const heads = columns.map(([title], i) => {
    const button = make("button", { type: "button", textContent: title });
    button.addEventListener("click", () => { upward = sorted === i ? !upward : true; sorted = i; table(); });
    const head = make("th", { scope: "col" }, button);
    $("table").tHead.rows[0].append(head);
    return head;
  });
  const table = () => {
    const words = $("filter").value.toLowerCase(), value = columns[sorted][1];
    const code = $("finding").value;
    const found = data.objects.filter((o) => fits(o, code) && (!words || `${call(o)} ${o.why.join(" ")} ${o.findings.map(told).join(" ")}`.toLowerCase().includes(words)));
    found.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) * (upward ? 1 : -1);
    });
    heads.forEach((head, i) => {
      if (i === sorted) head.setAttribute("aria-sort", upward ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
      head.firstChild.textContent = columns[i][0] + (i === sorted ? (upward ? " ▲" : " ▼") : "");
    });
    $("table").tBodies[0].replaceChildren(...found.slice(0, limit).map((one) => make("tr", {}, ...columns.map(([, get, kind], i) => {
      if (i === 0) {
        const button = make("button", { className: "open", type: "button", textContent: get(one) });
        button.addEventListener("click", () => open(one));
        return make("td", { className: "text" }, button);
      }
      const content = get(one);
      const cell = make("td", { className: kind === "why" ? "why" : "", textContent: kind === "score" ? shown(content) : content });
      if (columns[i][0] === "findings" && content) {
        cell.textContent = "";
        cell.append(make("span", { className: "codes", textContent: [...new Set(one.findings.map((f) => f[1]))].join(", "), title: one.findings.map(told).join("\n") }), ` ${content}`);
      }
      return cell;
    }))));
    $("count").textContent = `${found.length} of ${data.objects.length} objects`;
    $("more").hidden = found.length <= limit;
  };
  $("filter").addEventListener("input", table);
  $("finding").addEventListener("change", table);
  $("more").addEventListener("click", () => { limit += 400; table(); });

  // Scores against traits.
  const marks = [(x, y, a) => draw("circle", { cx: x, cy: y, r: 4, ...a }), (x, y, a) => draw("rect", { x: x - 4, y: y - 4, width: 8, height: 8, ...a }), (x, y, a) => draw("path", { d: `M${x} ${y - 5}l5 9h-10z`, ...a })];
  const scatter = () => {
    const trait = $("trait").value, W = 1000, H = 320, L = 44, B = 34, log = trait === "area" || trait === "length";
    const at = (v) => (log ? Math.log10(Math.max(v, 0.001)) : v), xs = data.objects.map((o) => at(o[trait]));
    let low = Math.min(...xs), high = Math.max(...xs);
    if (low === high) { low -= 1; high += 1; }
    const X = (v) => L + ((at(v) - low) / (high - low)) * (W - L - 20), Y = (v) => 10 + (1 - v / 100) * (H - B - 10);
    const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Score of each object against ${trait}` });
    for (const v of [0, 25, 50, 75, 100]) svg.append(draw("line", { class: "axis", x1: L, x2: W, y1: Y(v), y2: Y(v) }), draw("text", { x: L - 6, y: Y(v) + 4, "text-anchor": "end" }, v));
    for (let i = 0; i <= 4; i++) {
      const v = low + ((high - low) * i) / 4, label = log ? 10 ** v : v;
      svg.append(draw("text", { x: L + (i / 4) * (W - L - 20), y: H - 10, "text-anchor": "middle" }, label.toPrecision(2)));
    }
    const series = scored ? data.runs.map((run, i) => [run, (o) => o.scores[i]]) : [["agreement", (o) => o.agreement]];
    series.forEach(([title, get], i) => data.objects.forEach((one) => {
      const v = get(one);
      if (v === null || v === undefined) return;
      const mark = marks[i % 3](X(one[trait]), Y(v), { class: "dot", fill: COLOURS[i % 7], "fill-opacity": 0.7 });
      mark.append(draw("title", {}, `${call(one)}, ${title}: ${shown(v)}`));
      mark.addEventListener("click", () => open(one));
      svg.append(mark);
    }));
    $("plot").replaceChildren(svg);
    $("legend").replaceChildren(...series.map(([title], i) => {
      const key = draw("svg", { width: 14, height: 14, style: "display:inline;width:14px;vertical-align:-2px", "aria-hidden": "true" }, marks[i % 3](7, 7, { fill: COLOURS[i % 7] }));
      return make("span", {}, key, ` ${title}`);
    }));
  };
  $("trait").addEventListener("change", scatter);

  // The viewer.
  let now = null, video = null, index = 0, timer = null;
  const chosen = new Set(views.keys());
  views.forEach((view, i) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => { box.checked ? chosen.add(i) : chosen.delete(i); panes(); });
    $("views").append(make("label", {}, box, ` ${view}`));
  });
  const files = (i) => (scored && i > 0 && $("difference").checked ? ["frames.webp", `${i}-difference.png`] : ["frames.webp", `${i}.png`]);
  const panes = () => {
    const count = video.shown.length, opacity = $("opacity").value / 100, zoom = $("zoom").value;
    const build = (i) => {
      const box = stack(now.video, files(i), index, count, video.size, opacity);
      box.firstChild.style.transform = `scale(${zoom})`;
      return box;
    };
    const list = [...chosen].sort((a, b) => a - b), wipe = $("layout").value === "wipe" && list.length > 1;
    $("wipe-label").hidden = !wipe;
    $("panes").className = wipe || list.length === 1 ? "single" : "";
    if (wipe) {
      const [one, other] = list.slice(-2), box = build(one), top = build(other).firstChild;
      top.style.clipPath = ""; top.classList.add("top");
      const holder = make("div", {}, top);
      holder.style.cssText = "position:absolute;inset:0";
      holder.style.clipPath = `inset(0 0 0 ${$("wipe").value}%)`;
      box.append(holder);
      $("panes").replaceChildren(make("figure", {}, make("figcaption", { textContent: `${views[one]} | ${views[other]}` }), box));
    } else $("panes").replaceChildren(...list.map((i) => make("figure", {}, make("figcaption", { textContent: views[i] }), build(i))));
    step(0);
  };
  const step = (by) => {
    const count = video.shown.length;
    index = Math.min(Math.max(index + by, 0), count - 1);
    document.querySelectorAll("#panes .layer").forEach((layer) => place(layer, index, count));
    const t = video.shown[index], row = video.objects.indexOf(now.id);
    $("frame").value = index;
    const js = scored ? video.scores.map((s, i) => (s.j && s.j[row][t] !== null ? `${data.runs[i]} J ${shown(s.j[row][t], 1)}` : null)).filter(Boolean) : [];
    $("stem").textContent = [`frame ${video.stems[t]}`, ...js].join(" · ");
    const line = document.getElementById("cursor");
    if (line) { line.setAttribute("x1", line.X(t)); line.setAttribute("x2", line.X(t)); }
  };
  const stop = () => { clearInterval(timer); timer = null; $("play").textContent = "Play"; };
  const play = () => {
    if (timer) return stop();
    $("play").textContent = "Pause";
    if (index === video.shown.length - 1) index = 0;
    timer = setInterval(() => (index === video.shown.length - 1 ? stop() : step(1)), 160);
  };
  // Marks: each kind has its row and its shape, and each mark is also a button with text.
  const SHAPES = { cut: "m-1.5 -6h3v12h-3z", prompt: "m0 -5l5 9h-10z", memory: "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z", finding: "m0 -6l6 6l-6 6l-6 -6z" };
  const NAMES = { cut: "cuts", prompt: "prompts", memory: "memory", finding: "findings" };
  const MOST = 200;
  const ours = (mark) => mark[2] === null || mark[2] === now.id;
  const tracks = (list) => Object.keys(NAMES).map((kind) => [NAMES[kind], list.filter((mark) => mark[1] === kind && ours(mark))]).filter(([, found]) => found.length);
  const said = ([t, , , run, text]) => `frame ${video.stems[t]}: ${run === null ? "" : `${data.runs[run]}: `}${text}`;
  const near = (t) => video.shown.reduce((best, s, i) => (Math.abs(s - t) < Math.abs(video.shown[best] - t) ? i : best), 0);
  const list = () => {
    const found = video.marks.filter(ours), items = found.slice(0, MOST).map((mark) => {
      const button = make("button", { type: "button", textContent: said(mark) });
      button.addEventListener("click", () => { index = near(mark[0]); step(0); });
      return make("li", {}, button);
    });
    if (found.length > MOST) items.push(make("li", { textContent: `and ${found.length - MOST} more` }));
    $("marks").replaceChildren(...items);
    $("marks-count").textContent = found.length;
  };
  const timeline = () => {
    const row = video.objects.indexOf(now.id), T = video.stems.length, W = 1200, L = 110;
    const X = (t) => L + (t / Math.max(T - 1, 1)) * (W - L - 10), bar = 12;
    const plots = scored ? [["J", "j"], ["Ḟ", "f"]] : [], rows = tracks(video.marks), H = plots.length * 80 + 60 + (views.length + rows.length) * (bar + 4) + 4;
    const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Scores, area and presence of object ${now.id} over time` });
    let top = 6;
    const path = (values, high, colour, dash, from, height) => {
      let d = "", pen = false;
      values.forEach((v, t) => { if (v === null || v < 0) pen = false; else { d += `${pen ? "L" : "M"}${X(t).toFixed(1)} ${(from + height * (1 - v / high)).toFixed(1)}`; pen = true; } });
      svg.append(draw("path", { d, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
    };
    const look = (i) => (views[i] === "truth" && scored && i === 0 ? ["#888888", ""] : [COLOURS[(i - (scored ? 1 : 0)) % 7], DASHES[(i - (scored ? 1 : 0)) % 6]]);
    for (const [title, key] of plots) {
      for (const v of [0, 100]) svg.append(draw("line", { class: "axis", x1: L, x2: W - 10, y1: top + 66 * (1 - v / 100), y2: top + 66 * (1 - v / 100) }), draw("text", { x: L - 6, y: top + 66 * (1 - v / 100) + 4, "text-anchor": "end" }, v));
      svg.append(draw("text", { x: 4, y: top + 36 }, title));
      video.scores.forEach((s, i) => { if (s[key]) path(s[key][row], 100, ...look(i + 1), top, 66); });
      top += 80;
    }
    const high = Math.max(1, ...video.areas.flatMap((a) => a[row] || [0]));
    svg.append(draw("text", { x: 4, y: top + 26 }, "area"));
    video.areas.forEach((a, i) => path(a[row], high, ...look(i), top, 46));
    top += 60;
    views.forEach((view, i) => {
      svg.append(draw("text", { x: 4, y: top + bar - 2 }, view.length > 16 ? `${view.slice(0, 15)}…` : view));
      let begin = null;
      const values = video.areas[i][row];
      for (let t = 0; t <= T; t++) {
        const there = t < T && values[t] > 0;
        if (there && begin === null) begin = t;
        if (!there && begin !== null) { svg.append(draw("rect", { x: X(begin), y: top, width: Math.max(X(t - 1) - X(begin), 2), height: bar, fill: look(i)[0] })); begin = null; }
      }
      top += bar + 4;
    });
    for (const [title, list] of rows) {
      svg.append(draw("text", { x: 4, y: top + bar - 2 }, title));
      for (const mark of list) {
        const [t, kind, , run] = mark, fill = run === null ? "currentColor" : COLOURS[run % 7];
        if (kind === "cut") svg.append(draw("line", { class: "cut", x1: X(t), x2: X(t), y1: 0, y2: top }));
        svg.append(draw("path", { d: `M${X(t)} ${top + bar / 2}${SHAPES[kind]}`, fill }, draw("title", {}, said(mark))));
      }
      top += bar + 4;
    }
    const cursor = draw("line", { id: "cursor", y1: 0, y2: H, stroke: "currentColor" });
    cursor.X = X;
    svg.append(cursor);
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect(), t = (((event.clientX - box.left) / box.width) * W - L) / (W - L - 10) * (T - 1);
      index = near(t);
      step(0);
    });
    $("timeline").replaceChildren(svg);
  };
  const open = async (one, at = 0) => {
    stop();
    video = await load(one.video);
    now = one;
    index = at;
    $("h-viewer").textContent = call(one);
    $("why").textContent = [...one.why, ...one.findings.map(told)].join("; ");
    $("frame").max = video.shown.length - 1;
    $("difference-label").hidden = !scored;
    timeline();
    list();
    panes();
    if (!$("viewer").open) $("viewer").showModal();
    $("frame").focus();
  };
  $("play").addEventListener("click", play);
  $("frame").addEventListener("input", () => { index = +$("frame").value; step(0); });
  for (const id of ["layout", "wipe", "difference", "opacity", "zoom"]) $(id).addEventListener("input", panes);
  $("viewer").addEventListener("close", stop);
  $("viewer").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.tagName, other = field === "SELECT" || (field === "INPUT" && event.target.id !== "frame");
    const zoom = (by) => { $("zoom").value = +$("zoom").value + by; panes(); };
    const keys = {
      ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-1e9), End: () => step(1e9),
      d: () => { $("difference").checked = scored && !$("difference").checked; panes(); },
      w: () => { $("layout").value = $("layout").value === "wipe" ? "side" : "wipe"; panes(); },
      "+": () => zoom(0.5), "-": () => zoom(-0.5),
    };
    if (event.key === " " && field !== "BUTTON" && !other) { event.preventDefault(); play(); } else if (keys[event.key] && !(other && event.key.length > 1)) { event.preventDefault(); keys[event.key](); }
  });

  fill();
  table();
  scatter();
  // A link such as index.html#object-3 opens the third object, counted from 0.
  const linked = /^#object-(\d+)$/.exec(location.hash);
  if (linked && data.objects[linked[1]]) open(data.objects[linked[1]]);
  document.documentElement.dataset.ready = "yes";
})();
