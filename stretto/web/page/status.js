// What a follower's status looks like: a word, a sign and a colour, never the colour alone. Mildest first.

const STAGES = ["wal", "capture", "log", "apply"];

const MEANING = {
  wal: "written, not received",
  capture: "received, not in Kafka",
  log: "in Kafka, not read",
  apply: "read, not committed",
  total: "written, not visible",
};

const STATUSES = ["OK", "CATCHING_UP", "WARNING", "STALLED", "REWOUND", "STOPPED"];
const SIGN = { OK: "●", CATCHING_UP: "▲", WARNING: "◆", STALLED: "■", REWOUND: "◀", STOPPED: "✕" };
const TROUBLE = new Set(["WARNING", "STALLED", "STOPPED", "REWOUND"]);

const FLOOR_S = 1.0; // less lag than this is none worth a word

function severity(status) {
  return STATUSES.indexOf(status);
}

function statusWords(status) {
  return `${SIGN[status] ?? "?"} ${status.replace("_", " ")}`;
}

function total(follower) {
  return follower.lag.total?.seconds ?? null;
}

function sum(lags, stages) {
  const known = stages.map((stage) => lags[stage]).filter(Boolean);
  return known.length ? known.reduce((all, each) => all + each.seconds, 0) : null;
}

function keyOf(follower) {
  return `${follower.name}/${follower.source}`;
}

// What it does, where that is not simply running.
function doing(follower) {
  return follower.state === "running" ? "" : follower.state;
}

function worstFirst(one, other) {
  return severity(other.status) - severity(one.status) || (total(other) ?? 0) - (total(one) ?? 0) || byName(one, other);
}

function byName(one, other) {
  return one.name.localeCompare(other.name, undefined, { numeric: true });
}

// "3 followers: 2 OK, 1 STALLED."
function tally(followers) {
  if (followers.length === 0) return "No followers yet.";
  const found = STATUSES.toReversed()
    .map((status) => [followers.filter((each) => each.status === status).length, status.replace("_", " ")])
    .filter(([many]) => many > 0);
  if (found.length === 1) {
    const all = followers.length === 1 ? followers[0].name + " is" : `All ${followers.length} followers are`;
    return `${all} ${found[0][1]}.`;
  }
  return `${count(followers.length, "follower")}: ${found.map((each) => each.join(" ")).join(", ")}.`;
}
