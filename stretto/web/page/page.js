// What comes, put where it belongs.

const MOST_TOLD = 3; // changes of status that are spoken one by one

const LATE_S = 5;

const state = { view: null, chosen: fromAddress(), statuses: null, lost: null, asked: "", lookedAt: null };
const chart = new Chart();
const flow = new Flow(byId("flow"), byId("flow-words"), choose);
const followers = new Followers(choose);

// The follower that the address names; none where somebody wrote what is no name.
function fromAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function choose(key) {
  state.chosen = key;
  history.replaceState(null, "", `#${encodeURIComponent(key)}`);
  if (state.view !== null) show(state.view);
}

byId("who").addEventListener("change", (event) => choose(event.target.value));

function show(view) {
  state.view = view;
  showHead(view);
  showProblems(view);
  flow.update(view);
  showLag(view);
  showCopies(view);
  followers.update(view, state.chosen);
  showSlots(view);
  showAlerts(view);
}

function showHead(view) {
  setText(byId("title"), `Pipeline ${view.prefix}`);
  const over = view.followers.filter((each) => each.over_budget).length;
  const problems = troubles(view).length;
  const more = [over ? `${count(over, "follower")} over budget.` : "", problems ? `${count(problems, "thing")} to look at.` : ""];
  setText(byId("summary"), [tally(view.followers), ...more].filter(Boolean).join(" "));
  const worst = view.followers.toSorted(worstFirst)[0];
  const sign = worst === undefined || !TROUBLE.has(worst.status) ? "" : `${SIGN[worst.status]} ${worst.status}: `;
  const title = `${sign}${view.prefix} - Stretto`;
  if (document.title !== title) document.title = title;
  announce(view);
}

// Screen readers are told of changes only, never of a look that found the same.
function announce(view) {
  const statuses = new Map(view.followers.map((each) => [keyOf(each), each]));
  const before = state.statuses;
  state.statuses = new Map(view.followers.map((each) => [keyOf(each), each.status]));
  if (before === null) return;
  const changed = [...statuses.values()].filter((each) => before.get(keyOf(each)) !== each.status);
  if (changed.length === 0) return;
  const told = changed.toSorted(worstFirst).slice(0, MOST_TOLD).map((each) => `${each.name} is ${each.status.replace("_", " ")}: ${each.reason}.`);
  if (changed.length > MOST_TOLD) told.push(`${changed.length - MOST_TOLD} more changed.`);
  setText(byId("changed"), told.join(" "));
}

function showLag(view) {
  setHidden(byId("chosen"), view.followers.length === 0);
  const sorted = view.followers.toSorted(byName);
  each(byId("who"), sorted, keyOf, (follower) => make("option", { value: keyOf(follower) }, follower.name), () => {});
  let follower = view.followers.find((each) => keyOf(each) === state.chosen);
  if (follower === undefined) {
    follower = view.followers.toSorted(worstFirst)[0];
    state.chosen = follower === undefined ? state.chosen : keyOf(follower);
  }
  if (follower === undefined) return;
  if (byId("who").value !== state.chosen) byId("who").value = state.chosen;
  showChosen(follower);
  if (state.asked !== state.chosen) ask(follower);
  else if (chart.name === state.chosen) chart.add(view.at_us, follower);
}

// The hour before: asked for when another follower is chosen, and after the server was away.
async function ask(follower) {
  const key = (state.asked = keyOf(follower));
  let past = [];
  try {
    const answer = await fetch(`/history?${new URLSearchParams({ follower: follower.name, source: follower.source })}`);
    if (answer.ok) past = await answer.json();
  } catch {
    // the connection is lost, which the page says already; asked again once it is back
  }
  if (state.asked !== key) return;
  chart.begin(key, past);
  const now = state.view.followers.find((each) => keyOf(each) === key);
  if (now !== undefined) chart.add(state.view.at_us, now);
}

function showWire(what) {
  const wire = byId("wire");
  if (what === "lost" && state.lost === null) {
    state.lost = Date.now() * 1000;
    state.asked = "";
    const since = state.view === null ? "" : ` What you see is from ${moment(state.view.at_us)}.`;
    setText(byId("lost"), `No connection to the server since ${moment(state.lost)}.${since} Trying again.`);
    setText(byId("changed"), "The connection to the server is lost.");
  } else if (what === "live" && state.lost !== null) {
    state.lost = null;
    setText(byId("changed"), "The connection to the server is back.");
  }
  setAttribute(wire, "class", what);
  setText(byId("wire-word"), what === "live" ? "● Live" : "✕ No connection");
  setHidden(byId("lost"), what === "live");
  showAge();
}

// A look takes long where servers do not answer: what is shown is then older than it seems.
function showAge() {
  const seconds = state.lookedAt === null || state.lost !== null ? 0 : (Date.now() - state.lookedAt) / 1000;
  setText(byId("wire-since"), seconds > LATE_S ? `, last look ${duration(seconds)} ago` : "");
}

setInterval(showAge, 1000);

connect((view) => {
  state.lookedAt = Date.now();
  show(view);
}, showWire);
