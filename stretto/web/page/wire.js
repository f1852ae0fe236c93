// The connection to the server: looks come by themselves; when they stop, the page says so and tries again.

const SILENT_MS = 15000; // the server says something every 5 s
const FIRST_TRY_MS = 1000;
const LAST_TRY_MS = 10000;

// `onView` is called with each look, `onState` with "live" or "lost".
function connect(onView, onState) {
  let source = null;
  let heard = Date.now();
  let wait = FIRST_TRY_MS;
  let again = null;

  function open() {
    again = null;
    heard = Date.now();
    source = new EventSource("/events");
    source.addEventListener("open", hear);
    source.addEventListener("beat", hear);
    source.addEventListener("view", (event) => {
      hear();
      wait = FIRST_TRY_MS;
      onState("live");
      onView(JSON.parse(event.data));
    });
    source.addEventListener("error", lose);
  }

  function hear() {
    heard = Date.now();
  }

  function lose() {
    source?.close();
    source = null;
    onState("lost");
    if (again === null) {
      again = setTimeout(open, wait);
      wait = Math.min(2 * wait, LAST_TRY_MS);
    }
  }

  setInterval(() => {
    if (source !== null && Date.now() - heard > SILENT_MS) lose();
  }, 1000);
  addEventListener("online", () => {
    if (again !== null) {
      clearTimeout(again);
      open();
    }
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
  open();
}
