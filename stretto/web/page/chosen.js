// All that is known of the follower that was chosen.

function trendWords(follower) {
  const slope = follower.slope;
  if (slope === null || (total(follower) ?? 0) === 0) return "";
  if (Math.abs(slope) < 0.05) return "steady";
  return slope > 0 ? `growing by ${slope.toFixed(1)} s a second` : `shrinking by ${(-slope).toFixed(1)} s a second`;
}

function catchUpWords(follower) {
  if ((total(follower) ?? 0) <= FLOOR_S) return "nothing to catch up with";
  if (follower.catch_up_s === null) return "not at this pace";
  return `about ${duration(follower.catch_up_s)} (${share(follower.catch_up_sure)} sure)`;
}

function budgetWords(follower) {
  if (!(follower.budget_s > 0)) return "";
  return `${duration(follower.budget_s)}, ${follower.over_budget ? "exceeded" : "kept"}`;
}

function skewWords(follower) {
  const skew = follower.skew_s;
  if (skew === null || Math.abs(skew) < 0.5) return "";
  return `${duration(Math.abs(skew))} ${skew > 0 ? "ahead of" : "behind"} the leader's`;
}

function paceWords(follower) {
  if (follower.rows_per_s === null) return "";
  const volume = follower.bytes_per_s === null ? "" : `, ${bytes(follower.bytes_per_s)} of WAL a second`;
  return `${count(Math.round(follower.rows_per_s), "row")}${volume}`;
}

function waitsWords(follower) {
  if (!follower.waiting_transactions && !follower.staged_rows) return "";
  const onDisk = follower.spilled_bytes ? `, ${bytes(follower.spilled_bytes)} on disk` : "";
  return `${count(follower.waiting_transactions, "transaction")}, ${count(follower.staged_rows, "row")}${onDisk}`;
}

const FACTS = [
  ["State", (each) => [each.state, each.said].filter(Boolean).join(": ")],
  ["Trend", trendWords],
  ["Caught up in", catchUpWords],
  ["A second", paceWords],
  ["Budget", budgetWords],
  ["Delay on purpose", (each) => (each.delay_s > 0 ? duration(each.delay_s) : "")],
  ["Applied", (each) => `${count(each.transactions, "transaction")}, ${count(each.rows, "row")}`],
  ["Position", (each) => lsn(each.end_lsn)],
  ["Newest commit", (each) => each.commit_ts_us],
  ["Waits", waitsWords],
  ["Its clock", skewWords],
  ["Heard of", (each) => (each.heard_s < 10 ? "in the last 10 s" : `${duration(each.heard_s)} ago`)],
  ["Answers on", (each) => each.address],
];

function showChosen(follower) {
  const status = byId("verdict-status");
  setAttribute(status, "class", `s-${follower.status} word`);
  setText(status, statusWords(follower.status));
  setText(byId("verdict-reason"), `${follower.name}: ${follower.reason}`);
  setHidden(byId("likely"), !follower.likely);
  setWords(byId("likely"), follower.likely ? `Likely: ${follower.likely}.` : "");
  each(
    byId("stage-rows"),
    [...STAGES, "total"],
    (stage) => stage,
    (stage) => {
      const node = line(stage, ["seconds", "records", "bytes"]);
      node.firstChild.append(make("span", { class: "second" }, MEANING[stage]));
      node.className = stage;
      return node;
    },
    (node, stage) => {
      const found = follower.lag[stage];
      setText(node.shows.seconds, lag(found?.seconds));
      setText(node.shows.records, found?.counted ? whole.format(found.records) : "?");
      setText(node.shows.bytes, bytes(found?.bytes));
    },
  );
  each(
    byId("visible-rows"),
    ["minute", "hour", "day"],
    (span) => span,
    (span) => line(span, ["p50", "p95", "p99", "max"]),
    (node, span) => {
      const found = follower.visible[span];
      for (const [name, cell] of Object.entries(node.shows)) setText(cell, found?.count ? duration(found[name]) : "–");
      setAttribute(node, "title", found?.count ? `of ${count(found.count, "transaction")}` : null);
    },
  );
  each(
    byId("facts"),
    FACTS.map(([name, words]) => [name, words(follower)]).filter(([, words]) => words),
    ([name]) => name,
    ([name, words]) => make("div", {}, make("dt", {}, name), make("dd", {}, ...(typeof words === "number" ? [make("time")] : []))),
    (node, [, words]) => {
      const shown = node.lastChild;
      if (typeof words === "number") setTime(shown.firstChild, words);
      else setText(shown, words);
    },
  );
}
