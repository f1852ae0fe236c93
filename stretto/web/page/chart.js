// The last hour of one follower: its stages stacked, which add up to its total. Of each few pixels the look with most lag.

const HOUR_US = 3600e6;
const GAP_US = 75e6; // what the monitor remembers is a point a minute; a longer silence is a gap
const SPAN_US = 300e6; // a line of the table
const HEIGHT = 280;
const EDGE = { left: 52, right: 10, top: 10, bottom: 24 };
// So much is shown where no more is known, and how far its marks are apart; minutes.
const RANGES = [[5, 1], [15, 3], [30, 5], [60, 10]];
const STEPS_S = [0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

class Chart {
  constructor() {
    this.svg = byId("chart");
    this.points = [];
    this.name = "";
    this.budget = 0;
    this.pinned = null; // the moment that is read, microseconds; null: none
    this.hovered = null;
    this.areas = Object.fromEntries(STAGES.map((stage) => [stage, draw("path", { class: `area f-${stage}` })]));
    this.names = Object.fromEntries(STAGES.map((stage) => [stage, draw("text", { class: "band" }, stage)]));
    this.line = draw("path", { class: "whole" });
    this.limit = draw("path", { class: "limit" });
    this.limitName = draw("text", { class: "tick" });
    this.cursor = draw("path", { class: "cursor" });
    this.ticks = draw("g", {});
    this.svg.append(this.ticks, ...Object.values(this.areas), this.line, this.limit, this.limitName, this.cursor, ...Object.values(this.names));
    for (const stage of STAGES) byId("legend").append(make("li", {}, make("span", { class: `swatch f-${stage}` }), `${stage}: ${MEANING[stage]}`));
    byId("chart-head").append(make("th", { scope: "col" }, "From"));
    for (const head of [...STAGES, "total"]) byId("chart-head").append(make("th", { scope: "col", class: "figure" }, head));
    byId("moment").addEventListener("input", (event) => this.read(Number(event.target.value)));
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    byId("chart-details").addEventListener("toggle", () => this.table());
    new ResizeObserver(() => this.paint()).observe(this.svg.parentElement);
    this.now = Date.now() * 1000;
    [this.range, this.every] = [HOUR_US, 10];
    this.tell();
  }

  // Another follower, with its past: points as the server tells them, [at_us, follower, source, seconds, rows_per_s].
  begin(name, past) {
    this.name = name;
    this.points = past.map(([at, , , seconds]) => ({ at, seconds }));
    this.pinned = this.hovered = null;
  }

  add(at, follower) {
    const seconds = {};
    for (const [stage, found] of Object.entries(follower.lag)) if (found !== null) seconds[stage] = found.seconds;
    if (this.points.length === 0 || at > this.points.at(-1).at) this.points.push({ at, seconds });
    const old = this.points.findIndex((each) => each.at >= at - HOUR_US);
    if (old > 60) this.points.splice(0, old);
    this.now = at;
    this.budget = follower.budget_s > 0 ? follower.budget_s + follower.delay_s : 0;
    this.paint();
    this.summarize(follower);
    this.table();
  }

  paint() {
    const width = Math.floor(this.svg.getBoundingClientRect().width);
    if (width < 80) return;
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
    this.width = width;
    const known = (this.now - (this.points[0]?.at ?? this.now)) / 60e6;
    const [minutes, every] = RANGES.find(([most]) => known <= most) ?? RANGES.at(-1);
    [this.range, this.every] = [minutes * 60e6, width < 520 ? 2 * every : every];
    const buckets = this.buckets(Math.max(40, Math.floor((width - EDGE.left - EDGE.right) / 3)));
    const most = Math.max(0.5, this.budget, ...buckets.map((each) => each.total));
    const step = STEPS_S.find((each) => each * 4 >= most) ?? 86400 * Math.ceil(most / 345600);
    this.top = step * Math.max(1, Math.ceil((most / step) * 1.02));
    this.scales(step);
    this.bands(buckets);
    this.place();
  }

  // Spans of time that begin at round times, so that what is drawn moves on without trembling.
  buckets(many) {
    const span = this.range / many;
    const found = new Map();
    for (const point of this.points) {
      if (point.at < this.now - this.range) continue;
      const index = Math.floor(point.at / span);
      const total = STAGES.reduce((all, stage) => all + (point.seconds[stage] ?? 0), 0);
      if (!(found.get(index)?.total > total)) found.set(index, { at: (index + 0.5) * span, total, seconds: point.seconds });
    }
    return [...found.values()];
  }

  x(us) {
    const part = 1 - (this.now - us) / this.range;
    return EDGE.left + Math.min(1, Math.max(0, part)) * (this.width - EDGE.left - EDGE.right);
  }

  y(seconds) {
    return HEIGHT - EDGE.bottom - (seconds / this.top) * (HEIGHT - EDGE.bottom - EDGE.top);
  }

  scales(step) {
    const marks = [];
    for (let seconds = 0; seconds <= this.top + step / 9; seconds += step) {
      const words = Number.isInteger(seconds) && seconds < 10 ? `${seconds} s` : duration(seconds);
      marks.push({ key: `y${seconds}`, y: this.y(seconds), words });
    }
    const every = this.every;
    const first = new Date((this.now - this.range) / 1000);
    first.setMinutes(Math.ceil((first.getMinutes() + 1) / every) * every, 0, 0);
    for (let us = first.getTime() * 1000; us <= this.now; us += every * 60e6) {
      const x = this.x(us);
      if (x > EDGE.left + 20 && x < this.width - 24) marks.push({ key: `x${us}`, x, words: minuteOfDay(us) });
    }
    each(
      this.ticks,
      marks,
      (mark) => mark.key,
      () => draw("g", {}, draw("path", { class: "grid" }), draw("text", { class: "tick" })),
      (node, mark) => {
        const [grid, text] = node.children;
        const level = mark.y !== undefined;
        const across = `M${EDGE.left},${mark.y?.toFixed(1)} H${this.width - EDGE.right}`;
        setAttribute(grid, "d", level ? across : `M${mark.x.toFixed(1)},${HEIGHT - EDGE.bottom} v4`);
        setAttribute(text, "x", level ? EDGE.left - 8 : mark.x.toFixed(1));
        setAttribute(text, "y", level ? (mark.y + 4).toFixed(1) : HEIGHT - 6);
        setAttribute(text, "text-anchor", level ? "end" : "middle");
        setText(text, mark.words);
      },
    );
  }

  bands(buckets) {
    const parts = [];
    for (const bucket of buckets) {
      if (parts.length === 0 || bucket.at - parts.at(-1).at(-1).at > GAP_US) parts.push([]);
      parts.at(-1).push(bucket);
    }
    const below = new Map(buckets.map((bucket) => [bucket, 0]));
    const at = (bucket) => `${this.x(bucket.at).toFixed(1)},${this.y(below.get(bucket)).toFixed(1)}`;
    for (const stage of STAGES) {
      let way = "";
      let thickest = { height: 0 };
      for (const part of parts) {
        const bottom = part.toReversed().map(at);
        for (const bucket of part) {
          const [from, seconds] = [below.get(bucket), bucket.seconds[stage] ?? 0];
          const height = this.y(from) - this.y(from + seconds);
          if (height > thickest.height) thickest = { height, x: this.x(bucket.at), y: this.y(from + seconds / 2) };
          below.set(bucket, from + seconds);
        }
        way += `M${part.map(at).join("L")}L${bottom.join("L")}Z`;
      }
      setAttribute(this.areas[stage], "d", way);
      const name = this.names[stage];
      setAttribute(name, "visibility", thickest.height > 22 ? null : "hidden");
      if (thickest.height > 22) {
        setAttribute(name, "text-anchor", thickest.x > this.width - 60 ? "end" : thickest.x < EDGE.left + 30 ? "start" : "middle");
        setAttribute(name, "x", thickest.x.toFixed(0));
        setAttribute(name, "y", (thickest.y + 4).toFixed(0));
      }
    }
    setAttribute(this.line, "d", parts.map((part) => `M${part.map(at).join("L")}`).join(""));
    setAttribute(this.limit, "d", this.budget > 0 ? `M${EDGE.left},${this.y(this.budget).toFixed(1)} H${this.width - EDGE.right}` : "");
    setText(this.limitName, this.budget > 0 ? `budget ${duration(this.budget)}` : "");
    setAttribute(this.limitName, "x", EDGE.left + 6);
    setAttribute(this.limitName, "y", (this.y(this.budget) - 5).toFixed(1));
  }

  // --- reading a moment: by the slider, or with the pointer

  read(value) {
    this.pinned = value >= 600 ? null : this.now - this.range * (1 - value / 600);
    this.place();
    this.tell();
  }

  hover(event) {
    if (event === null) this.hovered = null;
    else {
      const part = (event.offsetX - EDGE.left) / (this.width - EDGE.left - EDGE.right);
      this.hovered = part < 0 || part > 1 ? null : this.now - this.range * (1 - part);
    }
    this.place();
    this.tell();
  }

  place() {
    if (this.pinned !== null && this.pinned < this.now - this.range) {
      this.pinned = null;
      this.tell();
    }
    const us = this.hovered ?? this.pinned;
    setAttribute(this.cursor, "d", us === null || !this.width ? "" : `M${this.x(us).toFixed(1)},${EDGE.top} V${HEIGHT - EDGE.bottom}`);
    const value = this.pinned === null ? 600 : Math.round(600 * (1 - (this.now - this.pinned) / this.range));
    if (Number(byId("moment").value) !== value) byId("moment").value = value;
  }

  tell() {
    const us = this.hovered ?? this.pinned;
    const words = us === null ? "Move along the hour to read a moment." : this.wordsAt(us);
    setText(byId("moment-words"), words);
    setAttribute(byId("moment"), "aria-valuetext", this.pinned === null ? "now" : this.wordsAt(this.pinned));
  }

  wordsAt(us) {
    let nearest = null;
    for (const point of this.points) if (nearest === null || Math.abs(point.at - us) < Math.abs(nearest.at - us)) nearest = point;
    if (nearest === null || Math.abs(nearest.at - us) > GAP_US) return `${timeOfDay(us)}: not known.`;
    const parts = STAGES.filter((stage) => (nearest.seconds[stage] ?? 0) >= 0.05).map((stage) => `${stage} ${lag(nearest.seconds[stage])}`);
    return `${timeOfDay(nearest.at)}: ${lag(nearest.seconds.total)} behind${parts.length ? `; ${parts.join(", ")}` : ""}.`;
  }

  // --- the same in words

  summarize(follower) {
    const points = this.points.filter((each) => each.at >= this.now - HOUR_US);
    const peak = points.reduce((most, each) => ((each.seconds.total ?? 0) > (most.seconds.total ?? 0) ? each : most), points[0]);
    const minutes = Math.round((this.now - points[0].at) / 60e6);
    const since = minutes < 59 ? `Known since ${timeOfDay(points[0].at)}: ` : "In the last hour ";
    const stage = STAGES.reduce((most, each) => ((peak.seconds[each] ?? 0) > (peak.seconds[most] ?? 0) ? each : most), STAGES[0]);
    const where = (peak.seconds.total ?? 0) >= 0.05 ? `, at ${timeOfDay(peak.at)}, most of it in ${stage}` : "";
    setText(byId("chart-words"), `${since}at most ${lag(peak.seconds.total)} behind${where}; now ${lag(total(follower))}.`);
  }

  table() {
    if (!byId("chart-details").open) return;
    const spans = new Map();
    for (const point of this.points) {
      if (point.at < this.now - HOUR_US) continue;
      const from = Math.floor(point.at / SPAN_US) * SPAN_US;
      const most = spans.get(from) ?? {};
      for (const [stage, seconds] of Object.entries(point.seconds)) most[stage] = Math.max(most[stage] ?? 0, seconds);
      spans.set(from, most);
    }
    each(
      byId("chart-rows"),
      [...spans].reverse(),
      ([from]) => from,
      ([from]) => {
        const time = make("time");
        setTime(time, from, minuteOfDay);
        return line(time, [...STAGES, "total"]);
      },
      (node, [, most]) => {
        for (const [stage, cell] of Object.entries(node.shows)) setText(cell, lag(most[stage]));
      },
    );
  }
}
