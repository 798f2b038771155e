// Codes to explore: two pictures of the same networks side by side. Pointing at
// a network shows its label, choosing it shows its interrogation. The static
// figures say the same where this does not run.
"use strict";
const MISSING = 65535, SCALE = 65534;
const REACH = {mouse: 14, pen: 18, touch: 26};  // pixels
const SPLIT_COLOURS = ["#6b6b6b", "#d55e00", "#222222"];

function unpackPoints(text) {
  const bytes = unpack(text), view = new DataView(bytes.buffer);
  return Array.from({length: bytes.length / 4}, (_, i) => {
    const x = view.getUint16(4 * i, true), y = view.getUint16(4 * i + 2, true);
    return x === MISSING ? null : [x / SCALE, 1 - y / SCALE];
  });
}

function between(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  return stops[Math.round(place)];
}

class Scatter {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(
        document.getElementById(root.dataset.from).textContent);
    this.one = (name) => root.querySelector(`[name=${name}]`);
    this.points = new Map();
    this.current = null;  // the network that is pointed at
    this.chosen = null;
    const box = root.querySelector(".interrogation");
    this.interrogation = this.data.interrogation &&
        new Interrogation(this.data.interrogation, box);
    this.sides = [...root.querySelectorAll(".plot")].map((plot) => ({
      plot, name: plot.dataset.side, canvas: plot.querySelector("canvas"),
      tip: plot.querySelector(".tip"), ring: plot.querySelector(".ring"),
      title: plot.parentNode.querySelector(".title"),
    }));
    root.hidden = false;
    root.classList.add("live");
    root.querySelector(".choices").addEventListener("change", () => {
      this.move(null);
      this.draw();
    });
    this.sides.forEach((side) => this.listen(side));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  listen(side) {
    const {plot} = side;
    const point = (event) => this.nearest(side, event);
    plot.addEventListener("pointermove", (event) => {
      this.move(point(event), side);
    });
    plot.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.move(null);
    });
    plot.addEventListener("click", (event) => {
      const nearest = point(event);
      this.move(nearest, side);
      if (nearest !== null) this.choose(nearest);
    });
    plot.addEventListener("focus", () => {
      if (this.current === null && plot.matches(":focus-visible")) {
        this.move(this.closest(side, 0.5, 0.5, () => true), side, true);
      }
    });
    plot.addEventListener("blur", () => this.move(null));
    plot.addEventListener("keydown", (event) => this.press(side, event));
  }

  press(side, event) {
    const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
                  ArrowDown: [0, 1]};
    const last = this.data.labels.length - 1;
    let to = this.current;
    if (event.key in ways) to = this.neighbour(side, ways[event.key]);
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = last;
    else if (event.key === "Escape") to = null;
    else if (event.key === "Enter" || event.key === " ") {
      if (to !== null) this.choose(to);
    } else return;
    event.preventDefault();
    this.move(to, side, true);
  }

  /** The points of a picture, [x, y] from 0 to 1 or null. */
  of(side) {
    const picture = this.data.pictures[this.one(side.name).value];
    const packed = picture[this.one("projection").value];
    if (!packed) return [];
    if (!this.points.has(packed)) this.points.set(packed, unpackPoints(packed));
    return this.points.get(packed);
  }

  place(side, point) {
    const edge = 14, size = side.size - 2 * edge;
    return [edge + point[0] * size, edge + point[1] * size];
  }

  nearest(side, event) {
    const frame = side.canvas.getBoundingClientRect();
    const x = event.clientX - frame.left, y = event.clientY - frame.top;
    let best = null, least = REACH[event.pointerType] ?? REACH.mouse;
    this.of(side).forEach((point, i) => {
      if (!point) return;
      const [u, v] = this.place(side, point), d = Math.hypot(u - x, v - y);
      if (d <= least) [best, least] = [i, d];
    });
    return best;
  }

  closest(side, x, y, allowed) {
    let best = null, least = Infinity;
    this.of(side).forEach((point, i) => {
      if (!point || !allowed(point, i)) return;
      const d = Math.hypot(point[0] - x, point[1] - y);
      if (d < least) [best, least] = [i, d];
    });
    return best;
  }

  /** The closest point within 45 degrees of a way, or the same one. */
  neighbour(side, [dx, dy]) {
    const from = this.current === null ? null : this.of(side)[this.current];
    if (!from) return this.closest(side, 0.5, 0.5, () => true);
    const next = this.closest(side, from[0], from[1], (point, i) => {
      const x = point[0] - from[0], y = point[1] - from[1];
      const along = x * dx + y * dy, across = Math.abs(x * dy - y * dx);
      return i !== this.current && along > 0 && across <= along;
    });
    return next ?? this.current;
  }

  move(to, side = null, aloud = false) {
    this.current = to;
    for (const {plot} of this.sides) {
      plot.style.cursor = to === null ? "default" : "pointer";
    }
    for (const other of this.sides) {
      const point = to === null ? null : this.of(other)[to];
      other.tip.style.display = "none";
      other.ring.style.display = point ? "block" : "none";
      if (!point) continue;
      const [x, y] = this.place(other, point);
      other.ring.style.left = `${x}px`;
      other.ring.style.top = `${y}px`;
      if (other === side) this.tell(other, to, x, y);
    }
    const aloudBox = this.root.querySelector(".aloud");
    aloudBox.textContent = to !== null && aloud
        ? this.data.labels[to].replaceAll("\n", ", ") : "";
  }

  tell({tip, size}, which, x, y) {
    tip.textContent = this.data.labels[which];
    tip.style.display = "block";
    const left = x + 14 + tip.offsetWidth > size
        ? x - 14 - tip.offsetWidth : x + 14;
    const top = y + 14 + tip.offsetHeight > size
        ? y - 14 - tip.offsetHeight : y + 14;
    tip.style.left = `${Math.max(left, 0)}px`;
    tip.style.top = `${Math.max(top, 0)}px`;
  }

  choose(which) {
    this.chosen = which;
    if (this.interrogation) {
      this.interrogation.show(which, this.data.labels[which]);
    }
    this.draw();
  }

  /** The colour of each network: [n]. */
  colours() {
    const which = this.one("colour").value, {data} = this;
    if (which === "split") return data.split.map((s) => SPLIT_COLOURS[s]);
    const one = data.colours[which], {sequential, cyclic} = data.maps;
    const map = one.kind === "angle" ? cyclic : sequential;
    return one.values.map((value) => {
      if (value === null) return "#ffffff";
      return between(map, this.share(one, value));
    });
  }

  share(one, value) {
    if (one.kind === "levels") {
      return one.levels.indexOf(value) / Math.max(one.levels.length - 1, 1);
    }
    return (value - one.low) / (one.high - one.low);
  }

  draw() {
    const colours = this.colours();
    for (const side of this.sides) this.drawSide(side, colours);
    this.drawKey();
  }

  drawSide(side, colours) {
    const {canvas, plot} = side, ratio = window.devicePixelRatio || 1;
    side.size = plot.clientWidth;
    canvas.width = canvas.height = Math.round(side.size * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const points = this.of(side);
    const size = Math.min(4.5, Math.max(2, 90 / Math.sqrt(points.length + 1)));
    // Those of training first, so that the few others lie on top
    [0, 1, 2].forEach((split) => points.forEach((point, i) => {
      if (!point || this.data.split[i] !== split) return;
      mark(pen, ...this.place(side, point), split, size, colours[i]);
    }));
    const chosen = this.chosen === null ? null : points[this.chosen];
    if (chosen) {
      pen.beginPath();
      pen.arc(...this.place(side, chosen), 9, 0, 2 * Math.PI);
      pen.lineWidth = 2.5;
      pen.strokeStyle = "#000";
      pen.stroke();
    }
    this.name(side, points);
  }

  name(side, points) {
    const picture = this.data.pictures[this.one(side.name).value];
    const projection = this.one("projection").value;
    const how = this.data.projections[projection];
    const share = projection === "pca" ? `: ${picture.explained}` : "";
    side.title.textContent = points.length
        ? `${picture.title}, ${how}${share}`
        : `${picture.title}: no ${how} was made`;
    const steps = this.interrogation ? ", Enter shows the interrogation" : "";
    side.plot.setAttribute("aria-label",
        `${side.title.textContent}. ${points.length} networks. ` +
        `Arrow keys go from one to the next${steps}.`);
  }

  drawKey() {
    const key = this.root.querySelector(".key");
    const which = this.one("colour").value, {data} = this;
    key.replaceChildren();
    const add = (parent, name, words = "") => {
      const made = document.createElement("span");
      made.className = name;
      made.textContent = words;
      return parent.appendChild(made);
    };
    const marks = add(key, "marks");
    data.splits.forEach((words, split) => {
      const canvas = marks.appendChild(document.createElement("canvas"));
      canvas.width = canvas.height = 28;
      const colour = which === "split" ? SPLIT_COLOURS[split] : "#b0b0b0";
      mark(canvas.getContext("2d"), 14, 14, split, 9, colour);
      add(marks, "", words);
    });
    if (which === "split") return;
    const one = data.colours[which];
    const map = one.kind === "angle" ? data.maps.cyclic : data.maps.sequential;
    const scale = add(key, "scale");
    add(scale, "what", one.title);
    if (one.kind === "levels") {
      one.levels.forEach((level, i) => {
        const box = add(scale, "box");
        box.style.background = between(map, this.share(one, level));
        add(scale, "", one.ticks[i]);
      });
      return;
    }
    add(scale, "", one.ticks[0]);
    const bar = add(scale, "bar");
    bar.style.background = `linear-gradient(90deg, ${map})`;
    add(scale, "", one.ticks[2]);
  }
}

/** Training a circle, validation a square, held out a triangle. */
function mark(pen, x, y, split, size, colour) {
  pen.beginPath();
  if (split === 0) pen.arc(x, y, size, 0, 2 * Math.PI);
  if (split === 1) pen.rect(x - size, y - size, 2 * size, 2 * size);
  if (split === 2) {
    pen.moveTo(x, y - 1.4 * size);
    pen.lineTo(x + 1.3 * size, y + size);
    pen.lineTo(x - 1.3 * size, y + size);
    pen.closePath();
  }
  pen.fillStyle = colour;
  pen.fill();
  pen.lineWidth = split ? 1 : 0.6;
  pen.strokeStyle = split ? "#222" : "#808080";  // the lightest colours too
  pen.stroke();
}

for (const root of document.querySelectorAll(".scatter")) new Scatter(root);
