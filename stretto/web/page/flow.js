// The pipeline as a drawing: leader, Kafka, followers, and on each arrow the lag between its ends.
// Side by side where there is room, one below another where there is not. One unit is one CSS pixel.

const WIDE_FROM = 880;
const MOST_DRAWN = 6; // followers; of more the worst, and how many others there are

// Lag as an arrow's width: 2 at none, 5 at a second, 12 at ten, never more than 14.
function stroke(seconds) {
  return 2 + Math.min(12, 3 * Math.log2(1 + Math.max(0, seconds ?? 0)));
}

const ruler = document.createElement("canvas").getContext("2d");

function cut(text, pixels, font) {
  ruler.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  if (ruler.measureText(text).width <= pixels) return text;
  let most = text.length;
  while (most > 1 && ruler.measureText(`${text.slice(0, most)}…`).width > pixels) most -= 1;
  return `${text.slice(0, most)}…`;
}

const NAME_FONT = "600 15px";
const STATE_FONT = "600 13px";

function sourceLook(source) {
  const seconds = sum(source.lag, ["wal", "capture"]);
  const state = source.capture?.state ?? "unknown";
  if (seconds !== null && seconds > FLOOR_S) return { seconds, look: "WARNING", words: "behind" };
  if (source.slot === null) return { seconds, look: "STOPPED", words: "no slot" };
  if (state !== "running") return { seconds, look: source.slot.active ? "CATCHING_UP" : "STOPPED", words: `capture ${state}` };
  return { seconds, look: "OK", words: "flowing" };
}

class Flow {
  constructor(svg, words, choose) {
    this.svg = svg;
    this.words = words;
    this.choose = choose;
    this.drawn = "";
    this.shown = [];
    this.statuses = "";
    this.view = null;
    new ResizeObserver(() => this.view && this.update(this.view)).observe(svg.parentElement);
  }

  update(view) {
    this.view = view;
    const followers = this.pick(view.followers);
    const rest = view.followers.length - followers.length;
    const width = Math.floor(this.svg.getBoundingClientRect().width);
    const drawn = JSON.stringify([width, view.sources.map((each) => each.name), followers.map(keyOf), rest]);
    if (drawn !== this.drawn && width > 0) {
      this.drawn = drawn;
      this.build(view, followers, rest, width);
    }
    if (width > 0) this.refresh(view, followers, rest);
    this.describe(view, followers, rest);
  }

  // The same ones as long as no status changes: what is drawn must not jump with every look.
  pick(followers) {
    if (followers.length <= MOST_DRAWN) return followers.toSorted(byName);
    const statuses = followers.map((each) => keyOf(each) + each.status).join();
    if (statuses !== this.statuses) {
      this.statuses = statuses;
      this.shown = followers.toSorted(worstFirst).slice(0, MOST_DRAWN - 1).map(keyOf);
    }
    const byKey = new Map(followers.map((each) => [keyOf(each), each]));
    return this.shown.map((key) => byKey.get(key));
  }

  build(view, followers, rest, width) {
    this.parts = { sources: [], followers: [] };
    for (const old of [...this.svg.children]) if (old !== this.words) old.remove();
    const height = width >= WIDE_FROM ? this.sideBySide(view, followers, rest, width) : this.stacked(view, followers, rest, width);
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${height}`);
    this.svg.style.height = `${height}px`;
  }

  sideBySide(view, followers, rest, width) {
    const [leaderWidth, kafkaWidth, followerWidth, each] = [200, 160, 230, 76];
    const rows = followers.length + (rest > 0 ? 1 : 0);
    const height = Math.max(rows * each, view.sources.length * 96, 120);
    const middle = height / 2;
    const kafkaLeft = leaderWidth + (width - leaderWidth - kafkaWidth - followerWidth) * 0.42;
    const followerLeft = width - followerWidth;
    this.sourcesAt(view, (source, index) => {
      const y = middle + (index - (view.sources.length - 1) / 2) * 96;
      const centre = (leaderWidth + kafkaLeft) / 2;
      return {
        box: [0, y - 34, leaderWidth, 68],
        path: `M${leaderWidth},${y} C${centre},${y} ${centre},${middle} ${kafkaLeft - 9},${middle}`,
        head: [kafkaLeft, middle, 0],
        label: [centre, y - 14, "middle"],
        more: [[centre, y + 22], [centre, y + 38]],
      };
    });
    this.kafka = this.node([kafkaLeft, middle - 34, kafkaWidth, 68], "Kafka");
    const from = kafkaLeft + kafkaWidth;
    const flat = Math.min(210, (followerLeft - from) * 0.6);
    this.followersAt(followers, rest, (index) => {
      const y = (height - rows * each) / 2 + (index + 0.5) * each;
      const bend = followerLeft - flat;
      return {
        box: [followerLeft, y - 29, followerWidth, 58],
        path: `M${from},${middle} C${(from + bend) / 2},${middle} ${(from + bend) / 2},${y} ${bend},${y} L${followerLeft - 9},${y}`,
        head: [followerLeft, y, 0],
        label: [followerLeft - 20, y - 13, "end"],
        more: [[followerLeft - 20, y + 22]],
      };
    });
    return height;
  }

  stacked(view, followers, rest, width) {
    const [box, gap] = [60, 74];
    let y = 1;
    this.sourcesAt(view, () => {
      const top = y;
      y += box + gap;
      return {
        box: [1, top, width - 2, box],
        path: `M24,${top + box} L24,${top + box + gap - 9}`,
        head: [24, top + box + gap, 90],
        label: [46, top + box + 22, "start"],
        more: [[46, top + box + 40], [46, top + box + 56]],
      };
    });
    this.kafka = this.node([1, y, width - 2, box], "Kafka");
    const from = y + box;
    y = from + 50;
    this.followersAt(followers, rest, () => {
      const top = y;
      y += box + 50;
      return {
        box: [60, top, width - 61, box],
        path: `M24,${top + box / 2} L51,${top + box / 2}`,
        head: [60, top + box / 2, 0],
        label: [60, top - 25, "start"],
        more: [[60, top - 8]],
      };
    });
    const last = y - 50 - box / 2;
    this.svg.insertBefore(draw("path", { d: `M24,${from} L24,${last}`, class: "trunk" }), this.svg.querySelector("g"));
    return y - 49;
  }

  sourcesAt(view, place) {
    for (const [index, source] of view.sources.entries()) {
      const at = place(source, index);
      this.parts.sources.push({ ...this.arrow(at), ...this.node(at.box, source.name) });
    }
  }

  followersAt(followers, rest, place) {
    for (const [index, follower] of followers.entries()) {
      const at = place(index);
      const node = this.node(at.box, follower.name);
      node.group.addEventListener("click", () => this.choose(keyOf(follower)));
      node.group.classList.add("chooses");
      this.parts.followers.push({ ...this.arrow(at), ...node });
    }
    if (rest > 0) {
      const at = place(followers.length);
      this.parts.rest = { ...this.arrow(at), ...this.node(at.box, `and ${rest} more`) };
    }
  }

  node([x, y, width, height], name) {
    const lines = [draw("text", { x: x + 14, y: y + height / 2 - 6, class: "name" }), draw("text", { x: x + 14, y: y + height / 2 + 15 })];
    setText(lines[0], cut(name, width - 28, NAME_FONT));
    const frame = draw("rect", { x, y, width, height, rx: 10 });
    const group = draw("g", { class: "node" }, draw("title", {}, name), frame, ...lines);
    this.svg.append(group);
    return { group, second: lines[1], room: width - 28 };
  }

  arrow({ path, head: [x, y, turn], label, more }) {
    const way = draw("path", { d: path, class: "way" });
    const head = draw("path", { class: "tip", transform: `translate(${x} ${y}) rotate(${turn})` });
    const words = draw("text", { x: label[0], y: label[1], "text-anchor": label[2], class: "lag" });
    const others = more.map(([atX, atY]) => draw("text", { x: atX, y: atY, "text-anchor": label[2], class: "part" }));
    const arrow = draw("g", { class: "arrow" }, way, head, words, ...others);
    this.svg.insertBefore(arrow, this.svg.querySelector("g.node"));
    return { arrow, way, head, words, others };
  }

  refresh(view, followers, rest) {
    for (const [index, part] of this.parts.sources.entries()) {
      const source = view.sources[index];
      const { seconds, look, words } = sourceLook(source);
      this.paint(part, look, seconds, `${lag(seconds)} ${words}`, ["wal", "capture"].map((stage) => `${stage} ${lag(source.lag[stage]?.seconds)}`));
      const kept = source.slot === null ? "" : `, keeps ${bytes(source.slot.retained_bytes)}`;
      setText(part.second, cut(source.wal_lsn === null ? "does not answer" : `leader${kept}`, part.room, STATE_FONT));
    }
    const sequence = view.sources.map((each) => each.frontier_sequence).filter((each) => each !== null);
    setText(this.kafka.second, sequence.length ? `frontier ${sequence.map((each) => whole.format(each)).join(", ")}` : "no frontier");
    for (const [index, part] of this.parts.followers.entries()) {
      const follower = followers[index];
      const seconds = sum(follower.lag, ["log", "apply"]);
      const stages = ["log", "apply"].map((stage) => `${stage} ${lag(follower.lag[stage]?.seconds)}`).join(" · ");
      const beyond = (seconds ?? 0) - follower.delay_s; // a delay that was asked for is no lag to draw
      const onPurpose = beyond > FLOOR_S ? `${lag(beyond)} beyond its delay` : `${lag(seconds)}, on purpose`;
      this.paint(part, follower.status, beyond, follower.delay_s > 0 ? onPurpose : lag(seconds), [stages]);
      setText(part.second, cut([statusWords(follower.status), doing(follower)].filter(Boolean).join(", "), part.room, STATE_FONT));
      setAttribute(part.group, "class", `node chooses s-${follower.status}`);
    }
    if (rest > 0) {
      const shown = new Set(followers.map(keyOf));
      const others = view.followers.filter((each) => !shown.has(keyOf(each)));
      const worst = others.toSorted(worstFirst)[0];
      const most = Math.max(...others.map((each) => sum(each.lag, ["log", "apply"]) ?? 0));
      this.paint(this.parts.rest, worst.status, most, `up to ${lag(most)}`, [""]);
      const same = others.every((each) => each.status === worst.status);
      setText(this.parts.rest.second, same ? `all ${worst.status.replace("_", " ")}` : `worst: ${worst.status.replace("_", " ")}`);
    }
  }

  paint(part, look, seconds, words, others) {
    const width = stroke(seconds);
    setAttribute(part.arrow, "class", `arrow s-${look}`);
    setAttribute(part.way, "stroke-width", width.toFixed(1));
    setAttribute(part.head, "d", `M-1,0 l-12,-${(5 + width / 2).toFixed(1)} v${(10 + width).toFixed(1)} z`);
    setText(part.words, words);
    for (const [index, node] of part.others.entries()) setText(node, others[index] ?? "");
  }

  describe(view, followers, rest) {
    const said = view.sources.map((source) => {
      const { seconds, words } = sourceLook(source);
      return `Leader ${source.name} to Kafka: ${lag(seconds)}, ${words}.`;
    });
    for (const each of followers) said.push(`Kafka to ${each.name}: ${lag(sum(each.lag, ["log", "apply"]))}, ${each.status.replace("_", " ")}.`);
    if (rest > 0) said.push(`And ${rest} more followers.`);
    setText(this.words, said.join(" "));
  }
}
