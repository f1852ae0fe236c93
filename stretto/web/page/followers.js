// The table of all followers: sorted by what was asked for, sifted by name and status.

// The largest first; what is not known comes last.
function most(figure) {
  return (one, other) => (figure(other) ?? -1) - (figure(one) ?? -1) || byName(one, other);
}

function byStage(one, other) {
  return (one.stage || "~").localeCompare(other.stage || "~") || worstFirst(one, other);
}

const COLUMNS = [
  { name: "name", head: "Follower", sort: byName },
  { name: "status", head: "Status", sort: worstFirst },
  { name: "lag", head: "Lag", figure: true, sort: most(total) },
  { name: "stage", head: "Most in", minor: true, sort: byStage },
  { name: "catch", head: "Caught up in", figure: true, minor: true, sort: most((each) => each.catch_up_s) },
  { name: "rows", head: "Rows/s", figure: true, minor: true, sort: most((each) => each.rows_per_s) },
  { name: "p99", head: "p99, hour", figure: true, minor: true, sort: most((each) => each.visible.hour?.p99) },
  { name: "why", head: "Why", minor: true },
];

class Followers {
  constructor(choose) {
    this.choose = choose;
    this.view = null;
    this.by = COLUMNS[1];
    this.reverse = false;
    this.order = [];
    this.asked = "";
    this.heads = new Map();
    for (const column of COLUMNS) byId("follower-head").append(this.head(column));
    for (const status of STATUSES) byId("sieve-status").append(make("option", { value: status }, status.replace("_", " ")));
    byId("sieve-name").addEventListener("input", () => this.update(this.view));
    byId("sieve-status").addEventListener("change", () => this.update(this.view));
  }

  head(column) {
    const classes = `${column.figure ? "figure" : ""} ${column.minor ? "minor" : ""}`;
    const head = make("th", { scope: "col", class: classes.trim() });
    if (column.sort === undefined) head.append(column.head);
    else {
      const button = make("button", { type: "button" }, column.head);
      button.addEventListener("click", () => {
        this.reverse = this.by === column && !this.reverse;
        this.by = column;
        this.update(this.view);
      });
      head.append(button);
    }
    this.heads.set(column, head);
    return head;
  }

  update(view, chosen = this.chosen) {
    this.chosen = chosen;
    if (view === null) return;
    this.view = view;
    for (const [column, head] of this.heads) {
      const sorted = column === this.by ? (this.reverse ? "descending" : "ascending") : null;
      setAttribute(head, "aria-sort", sorted);
    }
    const byKey = new Map(view.followers.map((each) => [keyOf(each), each]));
    this.sort(view.followers);
    const shown = this.order.map((key) => byKey.get(key)).filter((each) => this.passes(each));
    each(byId("follower-rows"), shown, keyOf, (follower) => this.build(follower), (node, follower) => this.refresh(node, follower));
    const all = view.followers.length;
    setText(byId("count"), shown.length === all ? count(all, "follower") : `${shown.length} of ${count(all, "follower")}`);
  }

  // Lines stay where they are until a status changes, a follower comes or goes, or another order is asked for.
  sort(followers) {
    const asked = JSON.stringify([this.by.name, this.reverse, followers.map((each) => [keyOf(each), each.status])]);
    if (asked === this.asked) return;
    this.asked = asked;
    const sorted = followers.toSorted(this.by.sort);
    this.order = (this.reverse ? sorted.reverse() : sorted).map(keyOf);
  }

  passes(follower) {
    const [name, status] = [byId("sieve-name").value.trim().toLowerCase(), byId("sieve-status").value];
    const wanted = status === "" || (status === "trouble" ? TROUBLE.has(follower.status) || follower.over_budget : follower.status === status);
    return wanted && (name === "" || keyOf(follower).toLowerCase().includes(name));
  }

  build(follower) {
    const button = make("button", { type: "button", class: "link" }, follower.name);
    button.addEventListener("click", () => this.choose(keyOf(follower)));
    const node = line(button, COLUMNS.slice(1).map((column) => column.name));
    for (const column of COLUMNS.slice(1)) {
      const classes = `${column.figure ? "figure" : ""} ${column.minor ? "minor" : ""}`;
      node.shows[column.name].className = classes.trim();
    }
    node.shows.status.append((node.status = make("span", {})));
    node.shows.why.append((node.reason = make("span", {})), (node.likely = make("span", { class: "second" })));
    node.button = button;
    return node;
  }

  refresh(node, follower) {
    const { lag: lagCell, stage, catch: catchUp, rows, p99 } = node.shows;
    const trouble = follower.status !== "OK" || follower.over_budget;
    setAttribute(node.button, "aria-pressed", String(keyOf(follower) === this.chosen));
    setAttribute(node.status, "class", `s-${follower.status} word`);
    setText(node.status, [statusWords(follower.status), doing(follower), follower.over_budget ? "over budget" : ""].filter(Boolean).join(", "));
    setText(lagCell, lag(total(follower)));
    setText(stage, (total(follower) ?? 0) > FLOOR_S ? follower.stage : "");
    setText(catchUp, follower.catch_up_s > FLOOR_S ? duration(follower.catch_up_s) : "");
    setText(rows, follower.rows_per_s === null ? "" : whole.format(follower.rows_per_s));
    setText(p99, follower.visible.hour?.count ? duration(follower.visible.hour.p99) : "");
    setText(node.reason, trouble ? follower.reason : "");
    setWords(node.likely, trouble && follower.likely ? `Likely: ${follower.likely}` : "");
  }
}
