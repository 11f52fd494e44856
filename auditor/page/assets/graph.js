// The graph of a page: what the data block holds, drawn by cytoscape. The drawings have their places from there; what is
// shown besides them gets the nearest free place in its column. All text is put in by textContent, or drawn.
"use strict";
(() => {
  const source = document.getElementById("graph-data");
  const canvas = document.getElementById("graph-canvas");
  if (!source || !canvas) return;
  const data = JSON.parse(source.textContent);
  const report = JSON.parse(document.getElementById("report-data")?.textContent ?? "null");
  const { strings: S, nodes: N, edges: E, groups: G, size: SIZE } = data;
  const [KIND, NAME, SCOPE, IMPACT, LIFECYCLE, OWNER, SITE, GROUP, PATH, LINE, SEEN, GOING] = Array(12).keys();
  const [FROM, TO, RELATION, NEED, ALTERNATIVES, CONFIDENCE, FAILS, EPATH, ELINE, EXCERPT] = Array(10).keys();
  const LIMIT = data.limit;
  const MOST = Math.max(600, LIMIT);
  const SIGN = { going: "■", broken: "✗", blind: "◌", degraded: "~" };
  const STATE = { going: "going", broken: "breaks", blind: "goes blind", degraded: "loses an alternative, or passes the loss on", mentioned: "names what is going", none: "unharmed" };
  const words = (text) => text.replaceAll("-", " ");
  const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  const members = G.map(() => []);
  N.forEach((node, at) => members[node[GROUP]].push(at));
  const out = N.map(() => []);
  const back = N.map(() => []);
  E.forEach((edge, at) => { out[edge[FROM]].push(at); back[edge[TO]].push(at); });
  const findingsOf = new Map();
  for (const [print, rows] of Object.entries(data.paths)) {
    for (const row of rows) findingsOf.set(row, [...(findingsOf.get(row) ?? []), print]);
  }
  // A finding by its fingerprint: its number, its area, what it says.
  const told = new Map();
  for (const [number, [print, area, message]] of Object.entries(report?.findings ?? {})) {
    if (!told.has(print)) told.set(print, { number: Number(number), area, message });
  }
  const state = (row) => (N[row][GOING] ? "going" : S[N[row][IMPACT]]);
  const where = (path, line) => (S[path] ? `${S[path]}${line ? `:${line}` : ""}` : "");
  const full = (row) => `${S[N[row][KIND]]} ${S[N[row][NAME]]}${S[N[row][SCOPE]] ? ` on ${S[N[row][SCOPE]]}` : ""}`;
  const middle = (text, room) => {
    const letters = [...text];
    return letters.length <= room ? text : `${letters.slice(0, Math.ceil(room / 2) - 1).join("")}…${letters.slice(-Math.floor(room / 2)).join("")}`;
  };

  const start = (text, room) => {
    const letters = [...text];
    return letters.length <= room ? text : `${letters.slice(0, room - 1).join("")}…`;
  };

  // As `_cut` in drawing.py: of a name of the DNS the end is what most share, of a job or an alert its directory or group.
  const inFront = { job: /^\/(?:[^/\s:]*\/)*(?=[^/\s:])/, alert: /^[^/]*\/(?=[^/])/ };
  const shortened = (kind, name, room) => {
    const said = [...name].length > room && inFront[kind] ? name.replace(inFront[kind], "") : name;
    return (["host", "name", "job", "alert"].includes(kind) ? start : middle)(said, room);
  };

  // -- what is shown -------------------------------------------------------------------------------------------------
  let drawing = null;
  let chosen = null;
  let marked = null;
  const places = new Map();
  const expanded = new Set();
  const extra = new Set();
  const filters = { area: "", kind: "", owner: "" };
  let frameBy = data.frames;
  const item = (row) => (expanded.has(N[row][GROUP]) ? `n${row}` : `g${N[row][GROUP]}`);
  const rowsOf = (id) => (id[0] === "n" ? [Number(id.slice(1))] : members[Number(id.slice(1))]);
  const first = (id) => rowsOf(id)[0];

  const parse = (one) => {
    const at = new Map();
    for (let i = 0; i < one.placed.length; i += 3) at.set(one.placed[i], { x: one.placed[i + 1], y: one.placed[i + 2] });
    const pairs = new Map();
    for (let i = 0; i < one.edges.length; i += 2) pairs.set(`${one.edges[i]} ${one.edges[i + 1]}`, one.bends[i / 2] ?? []);
    return { ...one, at, pairs };
  };
  const drawings = new Map(data.drawings.map((one) => [one.name, parse(one)]));

  const fits = (row) => {
    const node = N[row];
    if (filters.kind && S[node[KIND]] !== filters.kind) return false;
    if (filters.owner && S[node[OWNER]] !== filters.owner) return false;
    return !filters.area || (findingsOf.get(row) ?? []).some((print) => told.get(print)?.area === filters.area);
  };

  // For each node the dependency with which its shortest way to what is going begins, over what fails or over anything.
  const waysOut = (failing) => {
    const first = new Int32Array(N.length).fill(-1);
    const queue = N.flatMap((node, at) => (node[GOING] ? [at] : []));
    const seen = new Set(queue);
    for (let at = 0; at < queue.length; at += 1) {
      for (const edge of back[queue[at]]) {
        const from = E[edge][FROM];
        if ((failing && !E[edge][FAILS]) || seen.has(from)) continue;
        seen.add(from);
        first[from] = edge;
        queue.push(from);
      }
    }
    return first;
  };
  const ways = {};
  const wayFrom = (row) => {
    for (const failing of [true, false]) {
      const first = (ways[failing] ??= waysOut(failing));
      const way = [];
      for (let edge = first[row]; edge >= 0; edge = first[E[edge][TO]]) way.push(edge);
      if (way.length) return { way, failing };
    }
    return { way: [], failing: false };
  };

  // The dependencies between nodes that are given in the order of a path.
  const wayOver = (rows) => ({
    way: rows.flatMap((to, at) => E.findIndex((edge) => edge[TO] === to && rows.slice(0, at).includes(edge[FROM]))).filter((edge) => edge >= 0),
    failing: true,
  });

  const shownGroups = () => {
    const base = drawing.at.size ? [...drawing.at.keys()] : G.map((_, at) => at);
    const within = new Set([...base, ...extra]);
    if (!filters.area && !filters.kind && !filters.owner) return within;
    const kept = new Set();
    for (const group of within) {
      const row = members[group].find(fits);
      if (row === undefined) continue;
      kept.add(group);
      for (const edge of wayFrom(row).way) {
        kept.add(N[E[edge][FROM]][GROUP]);
        kept.add(N[E[edge][TO]][GROUP]);
      }
    }
    return kept;
  };

  // -- places --------------------------------------------------------------------------------------------------------
  const free = (taken, x, y) => {
    const others = taken.get(x) ?? [];
    const blocked = (at) => others.some((other) => Math.abs(other - at) < SIZE.row - 1);
    for (let step = 0; ; step += 1) {
      for (const at of step ? [y + step * (SIZE.row / 2), y - step * (SIZE.row / 2)] : [y]) {
        if (!blocked(at)) {
          taken.set(x, [...others, at]);
          return { x, y: at };
        }
      }
    }
  };
  const placeAll = (ids) => {
    const taken = new Map();
    const wide = Math.max(0, ...[...drawing.at.values()].map((at) => at.x));
    for (const id of ids) {
      const at = places.get(id);
      if (at) taken.set(at.x, [...(taken.get(at.x) ?? []), at.y]);
    }
    const rest = ids.filter((id) => !places.has(id)).sort((a, b) => G[N[first(a)][GROUP]][3] - G[N[first(b)][GROUP]][3] || first(a) - first(b));
    for (const id of rest) {
      const home = id[0] === "n" && places.get(`g${N[first(id)][GROUP]}`);
      let x = wide - G[N[first(id)][GROUP]][3] * SIZE.column;
      let y = 0;
      if (home) ({ x, y } = home);
      else {
        const near = (edges, end) => [...new Set(edges.map((edge) => item(E[edge][end])))].map((other) => places.get(other)).filter(Boolean);
        const rows = rowsOf(id).slice(0, 50);
        const right = near(rows.flatMap((row) => out[row]), TO);
        const left = near(rows.flatMap((row) => back[row]), FROM);
        const around = right.length ? right : left;
        if (around.length) {
          y = around.reduce((sum, at) => sum + at.y, 0) / around.length;
          if (drawing.at.size) x = right.length ? Math.min(...right.map((at) => at.x)) - SIZE.column : Math.max(...left.map((at) => at.x)) + SIZE.column;
        }
      }
      places.set(id, free(taken, x, y));
    }
  };

  // -- frames --------------------------------------------------------------------------------------------------------
  // What the frame of a node or group is called: what all its members have in common.
  const keyOf = (id) => {
    const of = {
      host: (row) => S[N[row][KIND]] === "host" ? (id[0] === "n" ? N[row][NAME] : G[N[row][GROUP]][0]) : id[0] === "n" ? N[row][SCOPE] : G[N[row][GROUP]][1],
      site: (row) => N[row][SITE],
      owner: (row) => N[row][OWNER],
      kind: (row) => N[row][KIND],
    }[frameBy];
    const found = new Set(rowsOf(id).map(of));
    return found.size === 1 ? S[[...found][0]] : "";
  };
  // As `framed` in layered.py: nodes keep their column, and those of one frame get a rectangle of their own.
  const framed = (ids) => {
    const lanes = new Map();
    for (const id of ids) {
      const key = keyOf(id);
      const lane = key ? `frame ${key}` : id;
      if (!lanes.has(lane)) lanes.set(lane, { key, ids: [], sum: 0 });
      lanes.get(lane).ids.push(id);
      lanes.get(lane).sum += places.get(id).y;
    }
    const filled = new Map(ids.map((id) => [places.get(id).x, 0]));
    const at = new Map();
    const frames = [];
    for (const { key, ids: own } of [...lanes.values()].sort((a, b) => a.sum / a.ids.length - b.sum / b.ids.length)) {
      const columns = new Map();
      for (const id of own.sort((a, b) => places.get(a).y - places.get(b).y)) columns.set(places.get(id).x, [...(columns.get(places.get(id).x) ?? []), id]);
      const [left, right] = [Math.min(...columns.keys()), Math.max(...columns.keys())];
      const across = [...filled.keys()].filter((x) => left <= x && x <= right);
      const top = Math.max(...across.map((x) => filled.get(x)));
      const begin = key ? top + SIZE.head : top;
      const tallest = Math.max(...[...columns.values()].map((column) => column.length));
      for (const [x, column] of columns) column.forEach((id, index) => at.set(id, { x, y: begin + ((tallest - column.length + 1) / 2 + index) * SIZE.row }));
      const bottom = begin + tallest * SIZE.row;
      if (key) frames.push({ key, left, right, top, bottom });
      for (const x of across) filled.set(x, bottom + (key ? SIZE.pad : 0));
    }
    return { at, frames };
  };

  // -- drawing -------------------------------------------------------------------------------------------------------
  const curve = (from, to, bends) => {
    const half = SIZE.width / 2;
    const start = { x: from.x + half, y: from.y };
    const end = { x: to.x - half, y: to.y };
    if (end.x - start.x < 10) return null;
    const points = [start];
    // Where a line passes a column, it is level for as long as the nodes there are wide.
    for (let at = 0; at < bends.length; at += 2) points.push({ x: bends[at] - half, y: bends[at + 1] }, { x: bends[at] + half, y: bends[at + 1] });
    points.push(end);
    const length = Math.hypot(end.x - start.x, end.y - start.y);
    const [ux, uy] = [(end.x - start.x) / length, (end.y - start.y) / length];
    const weights = [];
    const distances = [];
    for (let at = 1; at < points.length; at += 1) {
      const [a, b] = [points[at - 1], points[at]];
      for (const y of [a.y, b.y]) {
        const [dx, dy] = [(a.x + b.x) / 2 - start.x, y - start.y];
        weights.push(((dx * ux + dy * uy) / length).toFixed(4));
        distances.push((dy * ux - dx * uy).toFixed(1));
      }
    }
    return { weights: weights.join(" "), distances: distances.join(" ") };
  };
  const label = (id) => {
    const row = first(id);
    const group = G[N[row][GROUP]];
    const many = id[0] === "g" && group[2] > 1;
    const sign = SIGN[state(row)];
    const head = `${sign ? `${sign} ` : ""}${many ? `${group[2].toLocaleString("en")} × ` : ""}${S[N[row][KIND]]}`;
    const name = S[many ? group[0] : N[row][NAME]];
    return `${head}\n${shortened(S[N[row][KIND]], name, 23)}`;
  };
  const elements = (ids) => {
    const visible = new Set(ids);
    const { at, frames } = frameBy ? framed(ids) : { at: places, frames: [] };
    const around = frames.map(({ key, left, right, top, bottom }, index) => ({
      group: "nodes",
      data: { id: `f${index}`, label: middle(key, Math.floor((right - left + SIZE.width) / 7)), width: right - left + SIZE.width + 2 * SIZE.pad, height: bottom - top },
      position: { x: (left + right) / 2, y: (top + bottom) / 2 },
      classes: "frame",
      selectable: false,
    }));
    const nodes = ids.map((id) => ({
      group: "nodes",
      data: { id, label: label(id) },
      position: { ...at.get(id) },
      classes: `${state(first(id))}${id[0] === "g" && G[N[first(id)][GROUP]][2] > 1 ? " many" : ""}`,
    }));
    const pairs = new Map();
    for (const id of ids) {
      for (const row of rowsOf(id)) {
        for (const each of out[row]) {
          const edge = E[each];
          const to = item(edge[TO]);
          if (to === id || !visible.has(to)) continue;
          const [a, b] = [N[row][GROUP], N[edge[TO]][GROUP]];
          const known = drawing.pairs.get(`${a} ${b}`);
          if (drawing.at.size && known === undefined && !extra.has(a) && !extra.has(b)) continue;
          const key = `${id} ${to}`;
          const pair = pairs.get(key) ?? { from: id, to, fails: false, bends: !frameBy && id[0] === "g" && to[0] === "g" ? known ?? [] : [], relations: new Set() };
          pair.fails ||= Boolean(edge[FAILS]);
          pair.relations.add(words(S[edge[RELATION]]));
          pairs.set(key, pair);
        }
      }
    }
    const edges = [...pairs.values()].map((pair) => {
      const bent = curve(at.get(pair.from), at.get(pair.to), pair.bends);
      return {
        group: "edges",
        data: { id: `${pair.from}-${pair.to}`, source: pair.from, target: pair.to, label: [...pair.relations].join(", "), ...bent },
        classes: `${pair.fails ? "fails" : "holds"}${bent ? " bent" : ""}`,
      };
    });
    return [...around, ...nodes, ...edges];
  };
  const style = () => {
    const of = getComputedStyle(document.documentElement);
    const colour = (name) => of.getPropertyValue(`--${name}`).trim();
    const node = (state, fill, edge, width, line, ink = colour("ink")) => ({ selector: `node.${state}`, style: { "background-color": fill, "border-color": edge, "border-width": width, "border-style": line, color: ink } });
    return [
      { selector: "node", style: { shape: "round-rectangle", width: SIZE.width, height: SIZE.height, label: "data(label)", "text-wrap": "wrap", "text-max-width": 4 * SIZE.width, "text-valign": "center", "text-halign": "right", "text-margin-x": 8 - SIZE.width, "text-justification": "left", "font-size": 12, "line-height": 1.3, "font-family": of.getPropertyValue("--sans"), "background-color": colour("sheet"), "border-width": 1, "border-color": colour("edge"), color: colour("ink"), "corner-radius": 5, "min-zoomed-font-size": 5 } },
      node("broken", colour("bad-wash"), colour("bad"), 2, "solid"),
      node("blind", colour("warn-wash"), colour("warn"), 2, "dashed"),
      node("degraded", colour("degraded-wash"), colour("warn-edge"), 2, "dotted"),
      node("going", colour("going"), colour("going"), 1, "solid", colour("going-ink")),
      { selector: "node.many", style: { "border-style": "double", "border-width": 4 } },
      { selector: "node.frame", style: { width: "data(width)", height: "data(height)", events: "no", "z-compound-depth": "bottom", "background-color": colour("ground"), "border-color": colour("line"), "border-width": 1, color: colour("soft"), "font-weight": "bold", "font-size": 11, "text-wrap": "none", "text-halign": "right", "text-valign": "top", "text-margin-x": (node) => 8 - node.data("width"), "text-margin-y": 18 } },
      { selector: "edge", style: { width: 1.3, "line-color": colour("edge"), "target-arrow-color": colour("edge"), "target-arrow-shape": "triangle", "arrow-scale": 0.9, "curve-style": "bezier" } },
      { selector: "edge.bent", style: { "curve-style": "unbundled-bezier", "source-endpoint": "50% 0%", "target-endpoint": "-50% 0%", "edge-distances": "endpoints", "control-point-weights": (edge) => edge.data("weights"), "control-point-distances": (edge) => edge.data("distances") } },
      { selector: "edge.fails", style: { width: 2, "line-color": colour("bad"), "target-arrow-color": colour("bad") } },
      { selector: "edge.near", style: { width: 3, label: "data(label)", "font-size": 11, color: colour("ink"), "text-background-color": colour("paper"), "text-background-opacity": 0.9, "text-background-padding": 2 } },
      { selector: ".far", style: { opacity: 0.25 } },
      { selector: "node.chosen", style: { "outline-width": 3, "outline-color": colour("focus"), "outline-offset": 3 } },
    ];
  };
  const cy = cytoscape({
    container: canvas,
    style: style(),
    minZoom: 0.08,
    maxZoom: 2.5,
    boxSelectionEnabled: false,
    autoungrabify: true,
    userZoomingEnabled: false,
  });
  const boxes = () => cy.nodes().not(".frame");
  const note = document.getElementById("graph-note");
  const say = (text) => { document.getElementById("said").textContent = text; };
  const fit = (what) => {
    cy.fit(what ?? cy.elements(), 24);
    if (cy.zoom() > 1.1) cy.zoom({ level: 1.1, position: undefined }), cy.center(what ?? cy.elements());
  };
  // All of it if that can be read, else what is going and what is next to it.
  const settle = () => {
    fit();
    if (cy.zoom() >= 0.5 || !boxes().length) return;
    const going = cy.nodes(".going");
    const at = (going.length ? going : boxes())[0];
    cy.zoom(0.75);
    cy.center(at);
    const right = boxes().boundingBox().x2;
    cy.panBy({ x: cy.width() - 70 - (right * cy.zoom() + cy.pan().x), y: 0 });
  };
  const show = ({ keep = false } = {}) => {
    const groups = shownGroups();
    let ids = [];
    for (const group of groups) {
      if (expanded.has(group)) for (const row of members[group]) ids.push(`n${row}`);
      else ids.push(`g${group}`);
    }
    const tooMany = (!drawing.at.size && groups.size > LIMIT) || ids.length > MOST;
    const filtered = filters.area || filters.kind || filters.owner;
    if (tooMany) {
      note.textContent = `${count(ids.length, "node")} would be too many to draw: up to ${LIMIT.toLocaleString("en")} are drawn at once. Choose a kind or an owner, search for a node, or show less.`;
      ids = [...extra].map((group) => `g${group}`);
    } else if (!ids.length) note.textContent = "Nothing here fits these filters.";
    else note.textContent = filtered ? `${count(ids.length, "node")} fit, or lie on the way from there to what is going.` : "";
    placeAll(ids);
    const made = elements(ids);
    if (frameBy && ids.length && made[0].classes !== "frame") note.textContent = `${note.textContent} Nothing here has one ${frameBy}: there are no frames.`.trim();
    cy.batch(() => {
      cy.elements().remove();
      cy.add(made);
    });
    if (chosen && !cy.getElementById(chosen).length) chosen = null;
    highlight();
    if (!keep) settle();
    canvas.dataset.nodes = String(ids.length);
  };
  const open = (name, options) => {
    drawing = drawings.get(name);
    document.getElementById("graph-drawing").value = name;
    places.clear();
    expanded.clear();
    extra.clear();
    chosen = null;
    marked = null;
    for (const [group, at] of drawing.at) places.set(`g${group}`, { ...at });
    show(options);
    describe();
  };

  // -- choosing ------------------------------------------------------------------------------------------------------
  const highlight = () => {
    cy.elements().removeClass("far near chosen");
    if (marked) {
      const on = boxes().filter((node) => rowsOf(node.id()).some((row) => marked.has(row)));
      const between = on.edgesWith(on);
      cy.elements().not(".frame").not(on).not(between).addClass("far");
      between.addClass("near");
    } else if (chosen) {
      const node = cy.getElementById(chosen);
      const ids = new Set([chosen]);
      const edges = new Set();
      for (const edge of wayFrom(first(chosen)).way) {
        const [from, to] = [item(E[edge][FROM]), item(E[edge][TO])];
        ids.add(from).add(to);
        edges.add(`${from}-${to}`);
      }
      const on = boxes().filter((one) => ids.has(one.id())).union(node.neighborhood("node"));
      const lines = cy.edges().filter((one) => edges.has(one.id())).union(node.connectedEdges());
      cy.elements().not(".frame").not(on).not(lines).addClass("far");
      lines.addClass("near");
    }
    if (chosen) cy.getElementById(chosen).addClass("chosen");
  };
  const choose = (id, { move = false } = {}) => {
    chosen = id;
    marked = null;
    highlight();
    describe();
    if (id) {
      const row = first(id);
      const group = G[N[row][GROUP]];
      const many = id[0] === "g" && group[2] > 1 ? `${count(group[2], S[N[row][KIND]])}: ${S[group[0]]}` : full(row);
      say(`${many}, ${STATE[state(row)]}`);
      if (move) {
        const box = cy.extent();
        const at = cy.getElementById(id).boundingBox();
        if (at.x1 < box.x1 || at.x2 > box.x2 || at.y1 < box.y1 || at.y2 > box.y2) cy.center(cy.getElementById(id));
      }
    }
  };
  const revealRow = (row) => {
    for (const edge of wayFrom(row).way) {
      extra.add(N[E[edge][FROM]][GROUP]);
      extra.add(N[E[edge][TO]][GROUP]);
    }
    extra.add(N[row][GROUP]);
    if (!fits(row)) clearFilters();
    show({ keep: true });
    choose(item(row));
    cy.center(cy.getElementById(item(row)));
    if (cy.zoom() < 0.6) cy.zoom({ level: 0.8, renderedPosition: cy.getElementById(item(row)).renderedPosition() });
  };
  const neighbours = (id) => {
    const near = new Set();
    for (const row of rowsOf(id)) {
      for (const edge of out[row]) near.add(N[E[edge][TO]][GROUP]);
      for (const edge of back[row]) near.add(N[E[edge][FROM]][GROUP]);
    }
    const before = boxes().length;
    for (const group of [...near].slice(0, 60)) extra.add(group);
    extra.add(N[first(id)][GROUP]);
    show({ keep: true });
    say(`${count(boxes().length - before, "node")} more`);
    if (near.size > 60) note.textContent = `60 of its ${near.size} neighbours are shown.`;
  };
  const toggle = (group) => {
    if (expanded.has(group)) expanded.delete(group);
    else if (members[group].length > MOST - boxes().length) {
      note.textContent = `${count(members[group].length, "node")} are too many to draw one by one: search for the one you mean.`;
      return;
    } else expanded.add(group);
    show({ keep: true });
    choose(item(members[group][0]), { move: true });
  };

  // -- the chosen node in words --------------------------------------------------------------------------------------
  const details = document.getElementById("graph-details");
  const stage = details.parentElement;
  const make = (name, properties, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties ?? {})) {
      if (key === "class") element.className = value;
      else if (key === "click") element.addEventListener("click", value);
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  };
  const isolated = (text) => make("bdi", null, text);
  const link = (text, click) => make("button", { type: "button", class: "link", click }, isolated(text));
  const evidence = (edge) => [
    where(E[edge][EPATH], E[edge][ELINE]) && make("code", { class: "where" }, isolated(where(E[edge][EPATH], E[edge][ELINE]))),
    S[E[edge][EXCERPT]] && make("pre", { class: "excerpt" }, make("code", null, isolated(S[E[edge][EXCERPT]]))),
  ];
  const list = (title, rows, from, to) => {
    if (!rows.length) return null;
    const known = new Map();
    for (const edge of rows) {
      const key = `${item(E[edge][to])} ${E[edge][RELATION]}`;
      if (!known.has(key)) known.set(key, edge);
    }
    const shown = [...known.values()].sort((a, b) => E[b][FAILS] - E[a][FAILS] || a - b);
    const lines = shown.slice(0, 12).map((edge) => {
      const row = E[edge][to];
      const group = G[N[row][GROUP]];
      const many = item(row)[0] === "g" && group[2] > 1;
      const name = many ? `${group[2].toLocaleString("en")} × ${S[N[row][KIND]]} ${S[group[0]]}` : full(row);
      return make("li", null, `${words(S[E[edge][RELATION]])} `, link(name, () => revealRow(row)), E[edge][FAILS] ? make("span", { class: "chip broken" }, "✗ fails") : null);
    });
    if (shown.length > 12) lines.push(make("li", null, `and ${shown.length - 12} more`));
    return [make("h4", null, `${title} (${shown.length})`), make("ul", null, ...lines)];
  };
  const describe = () => {
    details.replaceChildren();
    stage.classList.toggle("open", Boolean(chosen));
    if (!chosen) return;
    const rows = rowsOf(chosen);
    const row = rows[0];
    const node = N[row];
    const group = G[node[GROUP]];
    const many = chosen[0] === "g" && group[2] > 1;
    const how = state(row);
    const facts = make("dl", { class: "facts" });
    const fact = (name, value, list = facts) => { if (value) list.append(make("dt", null, name), make("dd", null, isolated(value))); };
    fact("on", S[many ? group[1] : node[SCOPE]]);
    fact("lifecycle", S[node[LIFECYCLE]]);
    fact("owner", S[node[OWNER]]);
    fact("site", S[node[SITE]]);
    fact("defined in", where(node[PATH], node[LINE]));
    fact("captured", S[node[SEEN]]);
    const buttons = make("div", { class: "row" });
    if (group[2] > 1) buttons.append(make("button", { type: "button", click: () => toggle(node[GROUP]) }, expanded.has(node[GROUP]) ? "Collapse" : `Expand ${members[node[GROUP]].length.toLocaleString("en")}`));
    buttons.append(make("button", { type: "button", click: () => neighbours(chosen) }, "Show what is next to it"));
    details.append(
      make("p", { class: "kind" }, many ? count(group[2], S[node[KIND]]) : S[node[KIND]], make("span", { class: `chip ${how}` }, `${SIGN[how] ? `${SIGN[how]} ` : ""}${STATE[how]}`)),
      make("h3", null, isolated(S[many ? group[0] : node[NAME]])),
      facts,
      buttons,
    );
    const path = marked && rows.some((one) => marked.has(one));
    const { way, failing } = path ? wayOver([...marked]) : wayFrom(row);
    if (way.length) {
      const steps = way.map((edge) => make("li", null, make("span", null, `${words(S[E[edge][RELATION]])} → `), link(full(E[edge][TO]), () => revealRow(E[edge][TO])), E[edge][FAILS] ? make("span", { class: "chip broken" }, "✗ fails") : null, make("div", null, ...evidence(edge).filter(Boolean))));
      details.append(make("h4", null, path ? "The path of the finding" : failing ? "Why it is here: this fails" : "Its way to what is going"), make("ol", { class: "steps" }, ...steps));
    } else if (!node[GOING]) details.append(make("h4", null, "Why it is here"), make("p", null, "Nothing that it needs leads to what is going: it is next to something that does, or was asked for."));
    const prints = [...new Set(rows.flatMap((one) => findingsOf.get(one) ?? []))].filter((print) => told.has(print));
    if (prints.length) {
      prints.sort((a, b) => told.get(a).number - told.get(b).number);
      const lines = prints.slice(0, 10).map((print) => make("li", null, make("a", { href: `#finding-${told.get(print).number}` }, `${told.get(print).number}. ${start(told.get(print).message, 100)}`)));
      if (prints.length > 10) lines.push(make("li", null, `and ${prints.length - 10} more`));
      details.append(make("h4", null, `Findings (${prints.length})`), make("ul", null, ...lines));
    }
    for (const part of [list("Needs", rows.flatMap((one) => out[one]), FROM, TO), list("Needed by", rows.flatMap((one) => back[one]), TO, FROM)]) if (part) details.append(...part);
    const more = data.facts[row] ?? [];
    if (more.length) {
      const known = make("dl", { class: "facts" });
      for (let at = 0; at < more.length; at += 2) fact(S[more[at]], S[more[at + 1]], known);
      details.append(make("h4", null, many ? "What is known of the first of them" : "What is known of it"), known);
    }
  };

  // -- controls ------------------------------------------------------------------------------------------------------
  const select = (name) => document.getElementById(`graph-${name}`);
  const clearFilters = () => {
    for (const name of ["area", "kind", "owner"]) {
      filters[name] = "";
      if (select(name)) select(name).value = "";
    }
  };
  if (select("area") && report) {
    const areas = new Set([...told].filter(([print]) => data.paths[print]).map(([, known]) => known.area));
    for (const area of areas) select("area").append(make("option", { value: area }, area));
  }
  for (const name of ["area", "kind", "owner"]) {
    select(name)?.addEventListener("change", (event) => {
      filters[name] = event.target.value;
      marked = null;
      show();
    });
  }
  select("frames").addEventListener("change", (event) => {
    frameBy = event.target.value;
    show();
    say(frameBy ? `There is a frame around each ${frameBy}` : "There are no frames");
  });
  select("drawing").addEventListener("change", (event) => open(event.target.value));
  const zoom = (by) => cy.zoom({ level: cy.zoom() * by, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
  const everyGroup = (fill) => {
    expanded.clear();
    if (fill) {
      let room = MOST - boxes().length;
      for (const group of shownGroups()) {
        if (members[group].length > 1 && members[group].length <= Math.min(60, room)) {
          expanded.add(group);
          room -= members[group].length;
        }
      }
    }
    show();
    describe();
  };
  const tools = { in: () => zoom(1.3), out: () => zoom(1 / 1.3), fit: () => fit(), expand: () => everyGroup(true), collapse: () => everyGroup(false) };
  for (const button of document.querySelectorAll("[data-graph]")) button.addEventListener("click", () => tools[button.dataset.graph]());

  const search = select("search");
  const results = select("results");
  let hits = [];
  let at = -1;
  const mark = (to) => {
    at = to;
    [...results.children].forEach((line, index) => line.setAttribute("aria-selected", String(index === at)));
    if (results.children[at]) search.setAttribute("aria-activedescendant", results.children[at].id);
    else search.removeAttribute("aria-activedescendant");
  };
  const closeResults = () => {
    results.hidden = true;
    search.setAttribute("aria-expanded", "false");
    mark(-1);
  };
  const take = (row) => {
    closeResults();
    revealRow(row);
    canvas.focus();
  };
  search.addEventListener("input", () => {
    const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    if (asked.length) {
      for (let row = 0; row < N.length && hits.length < 200; row += 1) {
        const text = full(row).toLowerCase();
        if (asked.every((word) => text.includes(word))) hits.push(row);
      }
      const rank = ["going", "broken", "blind", "degraded", "mentioned", "none"];
      hits.sort((a, b) => rank.indexOf(state(a)) - rank.indexOf(state(b)) || full(a).length - full(b).length || a - b);
    }
    results.replaceChildren(...hits.slice(0, 20).map((row, index) => {
      const how = state(row);
      const line = make("li", { id: `graph-hit-${index}`, role: "option" }, make("span", { class: "kind" }, `${S[N[row][KIND]]} `), isolated(S[N[row][NAME]]), S[N[row][SCOPE]] ? make("span", { class: "kind" }, ` on ${S[N[row][SCOPE]]}`) : null, SIGN[how] ? make("span", { class: `chip ${how}` }, `${SIGN[how]} ${how}`) : null);
      line.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        take(row);
      });
      return line;
    }));
    if (asked.length && !hits.length) results.append(make("li", { role: "option", "aria-disabled": "true" }, "No node is called so."));
    results.hidden = !asked.length;
    search.setAttribute("aria-expanded", String(Boolean(asked.length)));
    mark(hits.length ? 0 : -1);
  });
  search.addEventListener("keydown", (event) => {
    const shown = Math.min(hits.length, 20);
    if (event.key === "Escape") closeResults();
    else if (event.key === "ArrowDown" && shown) mark((at + 1) % shown);
    else if (event.key === "ArrowUp" && shown) mark((at - 1 + shown) % shown);
    else if (event.key === "Enter" && hits[at] !== undefined) take(hits[at]);
    else return;
    event.preventDefault();
  });
  search.addEventListener("blur", closeResults);

  // -- keyboard and pointer ------------------------------------------------------------------------------------------
  const step = (key) => {
    const nodes = boxes();
    if (!nodes.length) return;
    if (!chosen) {
      const going = nodes.filter(".going");
      choose((going.length ? going : nodes)[0].id(), { move: true });
      return;
    }
    const here = cy.getElementById(chosen);
    const from = here.position();
    const sideways = key === "ArrowLeft" || key === "ArrowRight";
    const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    const nearest = (candidates) => {
      let best = null;
      let least = Infinity;
      candidates.forEach((one) => {
        const [dx, dy] = [one.position("x") - from.x, one.position("y") - from.y];
        const [ahead, aside] = sideways ? [dx * sign, Math.abs(dy)] : [dy * sign, Math.abs(dx) * 4];
        if (one.id() !== chosen && ahead > 1 && ahead + aside * 1.5 < least) [best, least] = [one, ahead + aside * 1.5];
      });
      return best;
    };
    const linked = key === "ArrowLeft" ? here.incomers("node") : here.outgoers("node");
    const next = (sideways && nearest(linked)) || nearest(nodes);
    if (next) choose(next.id(), { move: true });
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow")) step(event.key);
    else if (event.key === "Enter" && chosen) details.focus();
    else if (event.key === "n" && chosen) neighbours(chosen);
    else if (event.key === "e" && chosen && G[N[first(chosen)][GROUP]][2] > 1) toggle(N[first(chosen)][GROUP]);
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  details.addEventListener("keydown", (event) => { if (event.key === "Escape") canvas.focus(); });
  cy.on("tap", "node", (event) => choose(event.target.id()));
  cy.on("dbltap", "node", (event) => { if (G[N[first(event.target.id())][GROUP]][2] > 1) toggle(N[first(event.target.id())][GROUP]); });
  cy.on("tap", (event) => { if (event.target === cy) choose(null); });
  // The wheel scrolls the page, unless Ctrl is held; two fingers zoom.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    cy.zoom({ level: cy.zoom() * Math.exp(-event.deltaY / 300), renderedPosition: { x: event.clientX - box.left, y: event.clientY - box.top } });
  }, { passive: false });
  canvas.addEventListener("touchstart", (event) => cy.userZoomingEnabled(event.touches.length > 1), { passive: true });
  document.addEventListener("theme", () => cy.style(style()));
  new ResizeObserver(() => cy.resize()).observe(canvas);

  document.addEventListener("show-finding", (event) => {
    const rows = data.paths[report.findings[event.detail][0]];
    if (!rows) return;
    clearFilters();
    if (!drawing.at.size || rows.some((row) => !drawing.at.has(N[row][GROUP]))) open(drawings.has("findings") ? "findings" : drawing.name);
    for (const row of rows) if (!drawing.at.has(N[row][GROUP])) extra.add(N[row][GROUP]);
    show({ keep: true });
    chosen = item(rows[0]);
    marked = new Set(rows);
    highlight();
    describe();
    cy.resize();
    fit(boxes().filter((node) => rowsOf(node.id()).some((row) => marked.has(row))));
    canvas.scrollIntoView({ block: "center" });
    canvas.focus({ preventScroll: true });
    say(`The path of finding ${event.detail} is marked`);
  });

  open((data.drawings.find((one) => one.placed.length) ?? data.drawings[0]).name);
  canvas.dataset.ready = "true";
  performance.mark("graph-interactive");
})();
