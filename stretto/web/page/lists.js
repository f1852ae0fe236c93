// What is listed: problems with what mends them, slots, copies, alerts.

const MOST_SAID = 10; // followers whose last error is listed

const START = "start `stretto run capture`, or name its address: `capture_address` in section [http]";

function troubles(view) {
  const all = view.problems.map((each) => ({ what: each.found, more: each.expected && `Expected: ${each.expected}`, fix: each.fix }));
  for (const { capture } of view.sources) {
    if (capture === null || capture.state === "running") continue;
    all.push({ what: `capture is ${[capture.state, capture.said].filter(Boolean).join(": ")}`, fix: capture.state === "unreachable" ? START : "" });
  }
  const said = view.followers.filter((each) => each.said && each.state !== "running" && each.state !== "copying");
  for (const each of said.slice(0, MOST_SAID)) all.push({ what: `follower ${each.name} is ${each.state}: ${each.said}`, fix: "" });
  for (const hint of view.hints) all.push({ what: hint, fix: "" });
  if (view.unreadable) all.push({ what: `${count(view.unreadable, "record")} of the watched topics could not be read`, fix: "" });
  return [...new Map(all.map((each) => [each.what + each.fix, each])).values()]; // said once, whoever says it
}

function showProblems(view) {
  const found = troubles(view);
  setHidden(byId("problems"), found.length === 0);
  each(
    byId("problem-list"),
    found,
    (each) => each.what + each.fix,
    () => make("li", {}, make("strong", {}), make("span", { class: "second" }), make("span", { class: "fix" })),
    (node, each) => {
      const [what, more, fix] = node.children;
      setWords(what, each.what);
      setText(more, each.more ?? "");
      setWords(fix, each.fix ? `Fix: ${each.fix}` : "");
    },
  );
}

function showSlots(view) {
  each(
    byId("slot-list"),
    view.sources,
    (source) => source.name,
    () => {
      const node = make("div", { class: "slot" }, make("h3", {}), make("p", {}), make("meter", { min: 0 }), make("p", { class: "second" }));
      return node;
    },
    (node, source) => {
      const [head, state, meter, left] = node.children;
      const { slot, safe_wal_bytes: safe } = source;
      setText(head, slot === null ? source.name : slot.name);
      setHidden(meter, slot === null || safe === null);
      if (slot === null) {
        setWords(state, source.wal_lsn === null ? "The leader does not answer." : "The leader has no slot for Stretto: `stretto init` makes it.");
        setText(left, "");
        return;
      }
      const grows = source.bytes_per_s === null ? "" : `; the leader writes ${bytes(source.bytes_per_s)} a second`;
      setText(state, `${slot.active ? "● active" : "✕ inactive"}, WAL ${slot.wal_status}, keeps ${bytes(slot.retained_bytes)}${grows}.`);
      if (safe === null) return setText(left, "No limit is set (max_slot_wal_keep_size): the leader's disk is the limit.");
      const all = slot.retained_bytes + Math.max(0, safe);
      setAttribute(meter, "max", Math.max(1, all));
      setAttribute(meter, "high", Math.round(all * 0.8));
      setAttribute(meter, "value", slot.retained_bytes);
      setAttribute(meter, "aria-label", `WAL kept by ${slot.name}`);
      setText(left, `${bytes(Math.max(0, safe))} left to the limit.`);
    },
  );
}

function showCopies(view) {
  const copying = view.followers.filter((each) => each.copied !== null || each.copying.length > 0);
  setHidden(byId("copies"), copying.length === 0);
  each(
    byId("copy-list"),
    copying,
    keyOf,
    (follower) => {
      const node = make("div", { class: "copy" }, make("h3", {}, follower.name), bar(`all of ${follower.name}`), make("div", { class: "tables" }));
      return node;
    },
    (node, follower) => {
      const [, all, tables] = node.children;
      setHidden(all, follower.copied === null);
      if (follower.copied !== null) setBar(all, "all tables", follower.copied, share(follower.copied));
      each(
        tables,
        follower.copying,
        (table) => table.table,
        (table) => bar(`${table.table} of ${follower.name}`),
        (line, table) => {
          const part = table.expected > 0 ? Math.min(1, table.rows / table.expected) : null;
          setBar(line, table.table, part, `${whole.format(table.rows)} of about ${count(table.expected, "row")}`);
        },
      );
    },
  );
}

function bar(label) {
  return make("div", { class: "bar" }, make("span", {}), make("progress", { max: 1, "aria-label": label }), make("span", { class: "figure" }));
}

function setBar(node, name, part, words) {
  const [label, progress, figures] = node.children;
  setText(label, name);
  setAttribute(progress, "value", part === null ? null : part.toFixed(3));
  setText(figures, words);
}

// Of a trouble that is over: what it was, one after the other, and for how long in all.
function wholeTrouble({ statuses, before, at_us: at, since_us: since, until_us: until }) {
  const told = (statuses.length > 0 ? statuses : [before]).map((each) => each.replace("_", " "));
  return `${told.join(", then ")}, ${duration(((until || at) - since) / 1e6)} in all`;
}

function showAlerts(view) {
  setHidden(byId("no-alerts"), view.alerts.length > 0);
  each(
    byId("alert-list"),
    view.alerts,
    (alert) => [alert.kind, alert.follower, alert.source, alert.at_us].join("/"),
    (alert) => {
      const head = make("p", {}, make("strong", {}), " ", make("time", { class: "second" }));
      return make("li", { class: alert.recovered ? "over" : "" }, head, make("p", {}), make("p", { class: "second" }));
    },
    (node, alert) => {
      const [head, reason, likely] = node.children;
      const look = alert.recovered ? "OK" : alert.kind === "budget" ? "WARNING" : alert.status;
      const what = alert.kind === "budget" ? `lag budget ${alert.status}` : alert.status.replace("_", " ");
      setText(head.firstChild, alert.recovered ? `✓ over: ${alert.follower}${alert.kind === "budget" ? ": lag budget" : ""}` : `${SIGN[look] ?? "?"} ${alert.follower}: ${what}`);
      setAttribute(head.firstChild, "class", `word s-${look}`);
      if (alert.recovered) setTime(head.lastChild, alert.at_us, (us) => `${moment(us)}; it was ${wholeTrouble(alert)}`);
      else setTime(head.lastChild, alert.since_us, (us) => `since ${moment(us)}`);
      setText(reason, alert.reason);
      setWords(likely, alert.likely ? `Likely: ${alert.likely}` : "");
    },
  );
}
