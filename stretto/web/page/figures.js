// Figures in words, as in stretto_schemas/lag/words.py. Times come as microseconds since 1970.

function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 0.0005) return "0 s";
  if (size < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (size < 9.95) return `${seconds.toFixed(1)} s`;
  if (size < 120) return `${Math.round(seconds)} s`;
  if (size < 7200) return `${Math.round(seconds / 60)} min`;
  if (size < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} d`;
}

// Lag as it is shown beside others: what is less than a second trembles from look to look and is told in tenths.
function lag(seconds) {
  if (seconds === null || seconds === undefined) return "?";
  return seconds < 9.95 ? `${Math.max(0, seconds).toFixed(1)} s` : duration(seconds);
}

function bytes(count) {
  if (count === null || count === undefined) return "?";
  let size = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (size < 1024) return unit === "B" ? `${Math.round(size)} B` : `${size.toFixed(1)} ${unit}`;
    size /= 1024;
  }
  return `${size.toFixed(1)} TB`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function count(number, thing) {
  return `${whole.format(number)} ${thing}${number === 1 ? "" : "s"}`;
}

function share(part) {
  return `${Math.round(100 * part)} %`;
}

function lsn(place) {
  const high = Math.floor(place / 4294967296);
  return `${high.toString(16)}/${(place % 4294967296).toString(16)}`.toUpperCase();
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clockMinute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function timeOfDay(us) {
  return clock.format(us / 1000);
}

function minuteOfDay(us) {
  return clockMinute.format(us / 1000);
}

// With the day where it is not today's.
function moment(us) {
  const date = new Date(us / 1000);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

function utc(us) {
  return new Date(us / 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}
