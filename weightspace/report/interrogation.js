// An interrogation as a heat map: a column a step, probes above, answers below.
"use strict";
const PROBES = [127, 59, 8], ANSWERS = [8, 48, 107];  // the darkest shades

function unpack(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function shade(darkest, value) {
  const part = darkest.map((c) => Math.round(255 + (c - 255) * value / 255));
  return `rgb(${part})`;
}

class Interrogation {
  constructor(data, box) {
    Object.assign(this, data.shape);
    this.data = data;
    this.box = box;
    this.places = new Map(data.rows.map((row, place) => [row, place]));
    this.probes = unpack(data.probes);
    this.answers = unpack(data.answers);
    this.sequence = 0;
  }

  /** The probes or the answers of a step: bytes. */
  at(which, place, step) {
    const size = which === "probes" ? this.inputs : this.outputs;
    const start = ((place * this.length + step) * this.parallel +
                   this.sequence) * size;
    return this[which].subarray(start, start + size);
  }

  name(i) {
    return this.data.symbols[i] ?? String(i);
  }

  likeliest(bytes) {
    const best = bytes.indexOf(Math.max(...bytes));
    return `${this.name(best)} (${Math.round(bytes[best] / 2.55)} %)`;
  }

  show(row, label) {
    const place = this.places.get(row);
    this.box.replaceChildren();
    const title = this.add("h4", "");
    if (place === undefined) {
      title.textContent = "No interrogation of this network was kept.";
      return;
    }
    title.textContent = `How ${this.data.encoder} interrogated this network`;
    this.add("p", label.replaceAll("\n", ", "));
    if (this.parallel > 1) this.addChoice(row, label);
    const scroll = this.add("div", "", "strip");
    scroll.tabIndex = 0;
    const canvas = scroll.appendChild(document.createElement("canvas"));
    const reading = this.add("p", "", "reading");
    reading.textContent = this.data.symbols.length
        ? "Above the probes, below the answers; the darker, the " +
          "larger the share or the probability."
        : "Above the tiles that were shown, below what was answered; the " +
          "darker, the more ink or the likelier the digit.";
    this.draw(canvas, place);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", this.aloud(place));
    const general = reading.textContent;
    canvas.addEventListener("pointerleave", () => {
      reading.textContent = general;
    });
    canvas.addEventListener("pointermove", (event) => {
      const step = Math.floor((event.offsetX - this.margin) / this.cell);
      reading.textContent = step >= 0 && step < this.length
          ? this.describe(place, step) : general;
    });
  }

  add(kind, words, name = "") {
    const made = document.createElement(kind);
    made.textContent = words;
    made.className = name;
    return this.box.appendChild(made);
  }

  addChoice(row, label) {
    const field = this.add("label", "Sequence ");
    const select = field.appendChild(document.createElement("select"));
    for (let m = 0; m < this.parallel; m++) {
      select.add(new Option(`${m + 1} of ${this.parallel}`, m));
    }
    select.value = this.sequence;
    select.addEventListener("change", () => {
      this.sequence = Number(select.value);
      this.show(row, label);
      this.box.querySelector("select").focus();
    });
  }

  describe(place, step) {
    const probe = this.data.symbols.length
        ? `asked ${this.likeliest(this.at("probes", place, step))}, ` : "";
    const answer = this.likeliest(this.at("answers", place, step));
    return `Step ${step + 1}: ${probe}answered ${answer}.`;
  }

  aloud(place) {
    const steps = Array.from({length: this.length}, (_, t) => t);
    return steps.map((t) => this.describe(place, t)).join(" ");
  }

  draw(canvas, place) {
    const tiles = !this.data.symbols.length;
    const names = [...Array(Math.max(this.inputs, this.outputs)).keys()]
        .map((i) => this.name(i));
    this.margin = 10 + 7 * Math.max(...names.map((name) => name.length));
    const room = this.box.clientWidth - this.margin;
    this.cell = Math.max(13, Math.min(30, Math.floor(room / this.length)));
    const rise = tiles ? 14 : 18, gap = 12, foot = 18;
    const above = tiles ? this.cell : rise * this.inputs;
    const width = this.margin + this.cell * this.length;
    const height = above + gap + rise * this.outputs + foot;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let t = 0; t < this.length; t++) {
      const x = this.margin + t * this.cell;
      const probe = this.at("probes", place, t);
      if (tiles) this.tile(pen, x, probe);
      else this.column(pen, x, 0, rise, probe, PROBES);
      this.column(pen, x, above + gap, rise, this.at("answers", place, t),
                  ANSWERS);
      const every = this.cell < 16 ? 5 : this.cell < 20 ? 2 : 1;
      if ((t + 1) % every === 0) {
        pen.fillStyle = "#5c5c5c";
        pen.textAlign = "center";
        pen.fillText(t + 1, x + this.cell / 2, height - foot / 2 + 2);
      }
    }
    pen.fillStyle = "#1f1f1f";
    pen.textAlign = "right";
    const left = this.margin - 6;
    if (!tiles) {
      for (let i = 0; i < this.inputs; i++) {
        pen.fillText(this.name(i), left, (i + 0.5) * rise);
      }
    }
    for (let i = 0; i < this.outputs; i++) {
      pen.fillText(this.name(i), left, above + gap + (i + 0.5) * rise);
    }
  }

  column(pen, x, y, rise, bytes, darkest) {
    bytes.forEach((value, i) => {
      pen.fillStyle = shade(darkest, value);
      pen.fillRect(x, y + i * rise, this.cell - 1, rise - 1);
      pen.strokeStyle = "#e4e4e4";
      pen.strokeRect(x + 0.5, y + i * rise + 0.5, this.cell - 2, rise - 2);
    });
  }

  tile(pen, x, bytes) {
    const side = Math.round(Math.sqrt(bytes.length));
    const size = (this.cell - 1) / side;
    bytes.forEach((value, i) => {
      pen.fillStyle = shade([0, 0, 0], value);
      pen.fillRect(x + (i % side) * size, Math.floor(i / side) * size,
                   size, size);
    });
    pen.strokeStyle = "#bdbdbd";
    pen.strokeRect(x + 0.5, 0.5, this.cell - 2, this.cell - 2);
  }
}
