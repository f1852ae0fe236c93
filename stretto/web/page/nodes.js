// Elements, made once and changed only where what they show changed: a look a second must cost next to nothing.

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.firstChild?.nodeType === Node.TEXT_NODE && node.childNodes.length === 1) {
    if (node.firstChild.data !== text) node.firstChild.data = text;
  } else if (node.textContent !== text) node.textContent = text;
}

// The same with what stands between backticks as code.
function setWords(node, text) {
  if (node.textContent === text.replaceAll("`", "")) return;
  node.replaceChildren(...text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part)));
}

function setAttribute(node, name, value) {
  if (value === null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

// A time in the browser's zone, with UTC for who hovers.
function setTime(node, us, words = moment) {
  setAttribute(node, "datetime", new Date(us / 1000).toISOString());
  setAttribute(node, "title", utc(us));
  setText(node, words(us));
}

// One child for each item, by key: made when it comes, removed when it goes, moved only where the order changed.
function each(parent, items, key, build, update) {
  const known = (parent.known ??= new Map());
  const names = new Set(items.map(key));
  for (const [name, node] of known) {
    if (names.has(name)) continue;
    node.remove();
    known.delete(name);
  }
  let before = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    let node = known.get(name);
    if (node === undefined) known.set(name, (node = build(item)));
    if (node === before) before = before.nextSibling;
    else parent.insertBefore(node, before);
    update(node, item);
  }
}

// A line of a table: a head and cells, by name.
function line(head, names) {
  const cells = Object.fromEntries(names.map((name) => [name, make("td", { class: "figure" })]));
  const made = make("tr", {}, make("th", { scope: "row" }, head), ...Object.values(cells));
  made.shows = cells;
  return made;
}
