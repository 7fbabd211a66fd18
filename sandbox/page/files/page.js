/* The page's one script. The server sends the whole state after each change (server-sent events);
   what is drawn is always made of the last state, and every action is one POST. */

const $ = (id) => document.getElementById(id);

/* Dark enough for white letters in both themes. */
const CALENDAR_COLOURS = ["#2f54c8", "#0a6a85", "#7a3fc4", "#8a4b08", "#9c2f5f"];
const EVENT_COLOURS = {
  1: "#5b6bbf", 2: "#1f7a53", 3: "#7b3fa0", 4: "#b5473f", 5: "#8a6a00", 6: "#b4480f",
  7: "#0b6f94", 8: "#5a5f66", 9: "#31479e", 10: "#0f6b3a", 11: "#ab1616",
};
const STEP_NAMES = {
  push: "push", queue: "queue", run: "run", listing: "listing", provider: "provider",
  write: "write-back",
};
const QUARTER = 15 * 60 * 1000;
const DAY = 24 * 60 * 60 * 1000;

let state = null;
let calendar = null;
let held = false;

/* Small tools. */

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (key === "style") Object.assign(made.style, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function button(text, run, properties = {}) {
  return element("button", { type: "button", on: { click: run }, ...properties }, text);
}

/* Make a list's items those of `entries`. An item whose entry is unchanged keeps its element, and
   with that its focus and whether it is open. */
function reconcile(list, entries, keyOf, make) {
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]));
  let place = null;
  for (const entry of entries) {
    const key = String(keyOf(entry));
    const text = JSON.stringify(entry);
    let item = old.get(key);
    old.delete(key);
    if (!item || item.dataset.entry !== text) {
      const made = make(entry, item);
      made.dataset.key = key;
      made.dataset.entry = text;
      if (item) item.replaceWith(made);
      item = made;
    }
    const wanted = place ? place.nextSibling : list.firstChild;
    if (item !== wanted) list.insertBefore(item, wanted);
    place = item;
  }
  for (const item of old.values()) item.remove();
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  const told = await answer.json();
  if (told.error) complain(told.error);
  return told;
}

const act = (action, body) => post("/api/do", { action, ...body });

let complaint = 0;
function complain(text) {
  $("message").textContent = text;
  $("message").hidden = false;
  clearTimeout(complaint);
  complaint = setTimeout(() => { $("message").hidden = true; }, 10000);
}

const clock = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const when = (text) => new Date(text).toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const seconds = (number) => `${number.toFixed(number < 1 ? 2 : 1)} s`;

/* For an input of type datetime-local, which knows wall time alone. */
function wall(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, 16);
}

/* Start and end as the Calendar API takes them; the kind that is not meant is taken away. */
function times(begin, end, zone, allDay) {
  const one = (date) => allDay
    ? { date: wall(date).slice(0, 10), dateTime: null, timeZone: null }
    : { dateTime: date.toISOString(), timeZone: zone || "Europe/Berlin", date: null };
  return { start: one(begin), end: one(end) };
}

/* The state of the page. */

function follow() {
  const stream = new EventSource("/api/stream");
  stream.onmessage = (message) => {
    state = JSON.parse(message.data);
    if (state.ready) draw();
  };
  stream.onerror = () => {
    $("summary").textContent = "The sandbox does not answer; it was stopped, or is starting.";
    $("summary").className = "bad";
  };
}

function draw() {
  if (held) return;
  showFirstWeek();
  drawSummary();
  drawCalendars();
  drawEvents();
  drawConferences();
  drawChanges();
  drawFailures();
  drawTroubles();
  drawStory();
  drawDone();
}

function setText(id, text) {
  // Only a real change is announced by a screen reader.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function drawSummary() {
  const { in_step, waiting, failures, broken, lag } = state.summary;
  const parts = [];
  if (in_step) parts.push("In step");
  else if (broken) parts.push(`${broken} calendar${broken > 1 ? "s" : ""} broken`);
  else if (waiting) parts.push(`${waiting} change${waiting > 1 ? "s" : ""} on the way`);
  else parts.push("Not in step");
  if (lag !== null) parts.push(`last change reached the conference after ${seconds(lag)}`);
  parts.push(`${failures} failure${failures === 1 ? "" : "s"}`);
  setText("summary", parts.join(" · "));
  $("summary").className = in_step ? "good" : failures || broken ? "bad" : "";
}

const colourOf = (id) => {
  const place = state.calendars.findIndex((each) => each.id === id);
  return CALENDAR_COLOURS[Math.max(0, place) % CALENDAR_COLOURS.length];
};

function drawCalendars() {
  reconcile($("calendars"), state.calendars, (each) => each.id, (each) => element("li", {},
    element("span", { class: "dot", style: { background: colourOf(each.id) }, "aria-hidden": "true" }),
    each.id,
    element("span", { class: each.status === "broken" ? "bad" : "soft" },
      ` ${each.status}${each.reason ? `: ${each.reason}` : ""}`),
  ));
}

/* The week. */

function makeCalendar() {
  const narrow = () => window.innerWidth < 700;
  calendar = new FullCalendar.Calendar($("calendar"), {
    initialView: narrow() ? "timeGridDay" : "timeGridWeek",
    headerToolbar: { left: "prev,next today", center: "title", right: "timeGridWeek,timeGridDay,dayGridMonth" },
    firstDay: 1,
    locale: navigator.language,
    nowIndicator: true,
    height: "auto",
    slotMinTime: "07:00:00",
    slotMaxTime: "20:00:00",
    slotDuration: "00:30:00",
    snapDuration: "00:15:00",
    expandRows: true,
    editable: true,
    selectable: true,
    eventInteractive: true,
    eventOrder: "start,title",
    slotEventOverlap: false,
    windowResize: () => calendar.changeView(narrow() ? "timeGridDay" : "timeGridWeek"),
    select: (chosen) => { openForm(chosen.start, chosen.end); calendar.unselect(); },
    eventClick: (clicked) => { clicked.jsEvent.preventDefault(); openMenu(clicked.event.extendedProps.drawn); },
    eventDrop: moved,
    eventResize: moved,
    eventContent: (drawn) => ({
      domNodes: [
        element("div", { class: "fc-event-title" }, drawn.event.title),
        element("div", { class: "fc-event-time" }, drawn.timeText),
      ],
    }),
    eventDidMount: (mounted) => label(mounted.el, mounted.event),
  });
  calendar.render();
}

function label(target, event) {
  const drawn = event.extendedProps.drawn;
  target.dataset.key = event.id;
  target.setAttribute("role", "button");
  target.setAttribute("aria-haspopup", "dialog");
  target.setAttribute("aria-label", describe(drawn));
  target.title = describe(drawn);
  target.onkeydown = (pressed) => byKeyboard(pressed, drawn);
}

function describe(drawn) {
  const words = [drawn.title, when(drawn.start), drawn.calendar_id];
  if (drawn.series_id) words.push("repeats");
  words.push(drawn.conference_id ? "with a conference" : "without a conference");
  if (drawn.ghost) words.push("deleted");
  if (drawn.declined) words.push("declined");
  return words.join(", ");
}

function shown(drawn) {
  const colour = EVENT_COLOURS[drawn.colour] || colourOf(drawn.calendar_id);
  const names = [drawn.conference_id ? "carries" : "", drawn.ghost ? "ghost" : "", drawn.declined ? "declined" : ""];
  return {
    id: `${drawn.calendar_id}/${drawn.event_id}`,
    title: titleOf(drawn),
    start: drawn.start,
    end: drawn.end,
    allDay: drawn.all_day,
    editable: !drawn.ghost,
    backgroundColor: colour,
    borderColor: colour,
    textColor: "#ffffff",
    classNames: names.filter(Boolean),
    extendedProps: { drawn },
  };
}

function titleOf(drawn) {
  if (!drawn.ghost) return drawn.title;
  const left = drawn.deleted_at ? (new Date(drawn.deleted_at) - Date.now()) / 1000 : 0;
  return left > 0 ? `${drawn.title} (conference deleted in ${Math.ceil(left)} s)` : `${drawn.title} (deleted)`;
}

const drawnEvents = new Map();

/* Nothing is drawn between press and release. An event that is drawn anew escapes the hand: it would
   be dropped where it was. A line that grows above the week moves the pressed event away: the release
   would meet another element, and no menu would open. */
function holdWhilePressed() {
  document.querySelector("main").addEventListener("pointerdown", () => { held = true; });
  // A context menu keeps the release to itself, and so does another window.
  for (const end of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
    // After FullCalendar has told of the drop.
    window.addEventListener(end, () => setTimeout(() => {
      held = false;
      if (state?.ready) draw();
    }));
  }
}

/* Only what differs is drawn anew: an event that is focused or held by the pointer stays. */
function drawEvents() {
  const focused = document.activeElement?.dataset?.key;
  const wanted = new Map(state.events.map((drawn) => [`${drawn.calendar_id}/${drawn.event_id}`, drawn]));
  calendar.batchRendering(() => {
    for (const id of [...drawnEvents.keys()]) {
      if (wanted.has(id)) continue;
      calendar.getEventById(id)?.remove();
      drawnEvents.delete(id);
    }
    for (const [id, drawn] of wanted) {
      const text = JSON.stringify([drawn, titleOf(drawn)]);
      if (drawnEvents.get(id) === text) continue;
      calendar.getEventById(id)?.remove();
      calendar.addEvent(shown(drawn));
      drawnEvents.set(id, text);
    }
  });
  if (focused && document.activeElement?.dataset?.key !== focused) {
    document.querySelector(`.fc-event[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

function moved(change) {
  const drawn = change.event.extendedProps.drawn;
  const end = change.event.end || new Date(change.event.start.getTime() + 60 * 60000);
  // The stored event is drawn when the server tells it; until then the dropped one stays.
  drawnEvents.delete(change.event.id);
  act("edit", { ...named(drawn), patch: times(change.event.start, end, drawn.zone, change.event.allDay) })
    .then((told) => { if (told.error) change.revert(); });
}

const named = (drawn) => ({ calendar_id: drawn.calendar_id, event_id: drawn.event_id });

function byKeyboard(pressed, drawn) {
  const steps = { ArrowUp: -QUARTER, ArrowDown: QUARTER, ArrowLeft: -DAY, ArrowRight: DAY };
  const step = steps[pressed.key];
  if (step === undefined || !pressed.altKey || drawn.ghost) return;
  pressed.preventDefault();
  const begin = new Date(drawn.start);
  const end = new Date(new Date(drawn.end).getTime() + step);
  const from = pressed.shiftKey ? begin : new Date(begin.getTime() + step);
  if (end > from) act("edit", { ...named(drawn), patch: times(from, end, drawn.zone, drawn.all_day) });
}

/* Once, at the first sight of events: the day that the address names (#2026-05-04), or where this
   week has no event ahead, the next week that has one. */
let weekShown = false;
function showFirstWeek() {
  if (weekShown || !state.events.length) return;
  weekShown = true;
  if (/^#\d{4}-\d\d-\d\d$/.test(location.hash)) {
    calendar.gotoDate(location.hash.slice(1));
    return;
  }
  const ahead = state.events.filter((each) => !each.ghost).map((each) => each.start)
    .filter((start) => new Date(start) > new Date());
  if (ahead.length) calendar.gotoDate(ahead.sort((a, b) => new Date(a) - new Date(b))[0]);
}

/* Dialogs. */

function openMenu(drawn) {
  const menu = $("menu");
  setText("menu-title", drawn.title);
  setText("menu-details", describe(drawn));
  const done = (run) => () => { menu.close(); run(); };
  const say = (text, run) => button(text, done(run));
  const edit = (patch) => act("edit", { ...named(drawn), patch });
  const items = drawn.ghost
    ? [say("Restore", () => act("restore", named(drawn)))]
    : [
      say("Rename…", async () => {
        const told = await ask("Rename", [{ name: "title", label: "Title", value: drawn.title }]);
        if (told) edit({ summary: told.title });
      }),
      say("Change time…", async () => {
        const told = await ask("Change time", [
          { name: "start", label: "Starts", type: "datetime-local", value: wall(new Date(drawn.start)) },
          { name: "end", label: "Ends", type: "datetime-local", value: wall(new Date(drawn.end)) },
        ]);
        if (told) edit(times(new Date(told.start), new Date(told.end), drawn.zone, false));
      }),
      say("Copy", () => act("copy", { ...named(drawn), event_id: drawn.series_id || drawn.event_id })),
      say("Move to calendar…", async () => {
        const others = state.calendars.map((each) => each.id).filter((id) => id !== drawn.calendar_id);
        const told = await ask("Move to another calendar", [{ name: "to", label: "Calendar", options: others }]);
        if (told) act("move", { ...named(drawn), event_id: drawn.series_id || drawn.event_id, destination: told.to });
      }),
      drawn.original_start ? say("Split here", () => act("split", {
        calendar_id: drawn.calendar_id, series_id: drawn.series_id, original_start: drawn.original_start,
      })) : null,
      say("Decline as guest", () => act("decline", { ...named(drawn), event_id: drawn.series_id || drawn.event_id })),
      say("Colour", () => edit({ colorId: String((Number(drawn.colour || 0) % 11) + 1) })),
      drawn.conference_id ? say("Take the conference away", () => edit({ conferenceData: null, location: null })) : null,
      drawn.conference_id ? say("Lose the conference", () => act("forget", { conference_id: drawn.conference_id })) : null,
      say(drawn.series_id ? "Delete this occurrence" : "Delete", () => act("delete", named(drawn))),
      drawn.series_id ? say("Delete the series", () => act("delete", { ...named(drawn), event_id: drawn.series_id })) : null,
    ];
  $("menu-actions").replaceChildren(...items.filter(Boolean));
  menu.showModal();
}

/* Ask for a few values; resolves to them by name, or to null when the dialog is cancelled. */
function ask(title, fields) {
  setText("ask-title", title);
  $("ask-fields").replaceChildren(...fields.map(({ name, label: text, options, value, type }) => {
    const input = options
      ? element("select", { name }, ...options.map((each) => element("option", { value: each }, each)))
      : element("input", { name, type: type || "text", required: "" });
    if (value !== undefined) input.value = value;
    return element("label", {}, text, input);
  }));
  const dialog = $("ask");
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "save" ? Object.fromEntries(new FormData($("ask-form"))) : null);
    }, { once: true });
  });
}

function openForm(begin, end) {
  const form = $("event-form");
  form.elements.title.value = "";
  form.elements.start.value = wall(begin);
  form.elements.end.value = wall(end);
  form.elements.calendar.replaceChildren(
    ...state.calendars.map((each) => element("option", { value: each.id }, each.id)));
  $("form").returnValue = "cancel";
  $("form").showModal();
}

function saveForm() {
  if ($("form").returnValue !== "save") return;
  const told = Object.fromEntries(new FormData($("event-form")));
  const span = times(new Date(told.start), new Date(told.end), null, false);
  for (const moment of [span.start, span.end]) delete moment.date;
  act("create", {
    calendar_id: told.calendar,
    event: { summary: told.title, ...span, ...(told.repeats ? { recurrence: [told.repeats] } : {}) },
    with_conference: told.conference === "on",
  });
}

/* An hour of the shown days: the next one today, else the first morning's. */
function freeHour(hours = 0) {
  const { activeStart, activeEnd } = calendar.view;
  const now = new Date();
  const begin = activeStart <= now && now < activeEnd ? now : new Date(activeStart);
  begin.setHours((begin === now ? now.getHours() : 12) + 1 + hours, 0, 0, 0);
  return begin;
}

/* Beside the week. */

function drawConferences() {
  reconcile($("conferences"), state.conferences, (each) => each.id, (each, old) => element("li",
    { class: `${each.gone ? "gone" : ""} ${old ? "fresh" : ""}` },
    element("div", { class: "name" }, each.title),
    element("div", {}, each.gone ? element("span", { class: "bad" }, "lost at the provider")
      : each.start ? `${when(each.start)}${each.recurring ? ", repeats" : ""}` : "no time yet"),
    element("small", {}, each.id.length > 30 ? `${each.id.slice(0, 26)}…` : each.id),
    element("div", {}, element("small", {}, Object.keys(each.carried_by).length
      ? `carried by ${Object.entries(each.carried_by).map(([key, title]) => `${title} (${key.split("/")[0]})`).join(", ")}`
      : "carried by no event")),
    each.gone ? null : element("div", { class: "row" },
      button("Lose it", () => act("forget", { conference_id: each.id }), { "aria-label": `Lose the conference ${each.title}` })),
  ));
}

function drawChanges() {
  $("no-changes").hidden = state.changes.length > 0;
  reconcile($("change-list"), [...state.changes].reverse(), (each) => each.number, (each, old) => {
    const opened = old?.querySelector("details")?.open;
    return element("li", {}, element("details", opened ? { open: "" } : {},
      element("summary", {},
        element("span", { class: "soft" }, clock(each.at)),
        element("strong", {}, each.title),
        element("span", {}, `${each.what}${each.count > 1 ? ` (${each.count} edits)` : ""}`),
        outcome(each)),
      waterfall(each),
      each.verdict ? element("p", { class: "hint" }, `${each.verdict.reason}${each.verdict.rule ? ` (${each.verdict.rule})` : ""}`) : null,
    ));
  });
}

function outcome(change) {
  if (!change.settled) return element("span", { class: "outcome soft" }, "on its way…");
  if (change.steps.some((step) => step.kind === "provider" && !step.good) && change.lag === null) {
    return element("span", { class: "outcome bad" }, "the provider refused");
  }
  if (change.lag !== null) return element("span", { class: "outcome good" }, `reached the conference after ${seconds(change.lag)}`);
  const rule = change.verdict?.rule ? ` (${change.verdict.rule})` : "";
  return element("span", { class: "outcome soft" }, `nothing was sent${rule}`);
}

function waterfall(change) {
  const steps = [...change.steps].sort((a, b) => a.begin - b.begin);
  const whole = Math.max(0.05, ...steps.map((step) => step.end));
  const rows = steps.map((step) => element("tr", {},
    element("th", { scope: "row" }, STEP_NAMES[step.kind]),
    element("td", { class: "time" }, `+${step.begin.toFixed(2)} s`),
    element("td", { class: "bars", "aria-hidden": "true" }, element("span", {
      class: `bar ${step.kind}`,
      style: { marginLeft: `${(100 * step.begin) / whole}%`, width: `${(100 * (step.end - step.begin)) / whole}%` },
    })),
    element("td", step.good ? {} : { class: "bad" }, step.count > 1 ? `${step.count} × ${step.text}` : step.text)));
  return element("table", { class: "waterfall", "aria-label": `Steps of: ${change.title}, ${change.what}` },
    element("tbody", {}, ...rows));
}

function failureCard(each) {
  const names = { "aria-label": `${each.provider || ""} ${each.reason}` };
  return element("li", {},
    element("div", { class: "name" }, `${each.action || "?"} · ${each.state}`),
    element("div", {}, each.reason || ""),
    element("small", {}, `${each.calendar_id} · ${each.attempts} tries${each.next_try ? ` · next ${clock(each.next_try)}` : ""}`),
    element("div", { class: "row" },
      button("Retry", () => act("retry", { id: each.id }), { "aria-label": `Retry: ${names["aria-label"]}` }),
      button("Dismiss", () => act("dismiss", { id: each.id }), { "aria-label": `Dismiss: ${names["aria-label"]}` })));
}

function drawFailures() {
  $("no-failures").hidden = state.failures.length > 0;
  $("left").hidden = state.left.length === 0;
  reconcile($("failure-list"), state.failures, (each) => each.id, failureCard);
  reconcile($("left-list"), state.left, (each) => each.id, failureCard);
}

function drawTroubles() {
  reconcile($("troubles"), Object.entries(state.troubles), ([name]) => name, ([name, says]) =>
    button(says, () => post("/api/trouble", {
      trouble: name,
      calendar_id: state.calendars[0]?.id,
      event: times(freeHour(1), freeHour(2), null, false),
    })));
}

function drawStory() {
  const { state: how, next, lines } = state.story;
  const step = $("story-step");
  const over = how === "over" || how === "wrong";
  step.disabled = how === "playing" || over;
  step.textContent = over ? "The story is over" : how === "not begun" ? "Begin the story"
    : how === "playing" ? "Playing…" : `Next: ${next}`;
  const told = lines.join("\n").trim();
  $("story-lines").hidden = !told;
  if ($("story-lines").textContent !== told) {
    $("story-lines").textContent = told;
    $("story-lines").scrollTop = $("story-lines").scrollHeight;
  }
}

function drawDone() {
  $("no-done").hidden = state.done.length > 0;
  const numbered = state.done.map((each, place) => ({ ...each, place }));
  reconcile($("done-list"), numbered.slice(-12).reverse(), (each) => `${each.place}-${each.curl[0]}`, (each) => {
    const lines = each.curl.join("\n");
    return element("li", {},
      element("pre", { tabindex: "0" }, lines),
      button("Copy", () => navigator.clipboard?.writeText(lines), { class: "small", "aria-label": `Copy the command: ${each.name}` }),
      each.error ? element("span", { class: "bad" }, ` ${each.error}`) : null);
  });
}

/* The theme is the system's until somebody chooses one. */

function useTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  $("theme").value = theme;
}

useTheme(localStorage.getItem("theme") || "auto");
$("theme").addEventListener("change", (event) => useTheme(event.target.value));
$("new-event").addEventListener("click", () => { if (state?.ready) openForm(freeHour(), freeHour(1)); });
$("form").addEventListener("close", saveForm);
$("story-step").addEventListener("click", () => post("/api/story", {}));
makeCalendar();
holdWhilePressed();
// The countdown of a deleted event goes on between two states.
setInterval(() => {
  if (!held && state?.ready && state.events.some((each) => each.ghost && each.deleted_at)) drawEvents();
}, 500);
follow();
