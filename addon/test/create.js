/**
 * Picks a conference solution as Calendar would, with the real bridge, and prints what Calendar
 * would show, as JSON.
 *
 *     CREATE_CONFERENCE_URL=http://127.0.0.1:8080/ IDENTITY_TOKEN=… \
 *       node addon/test/create.js ann@example.com EVENT_ID ["My Web Conference"]
 */

const { load, manifest } = require('./support/apps-script.js');

const [calendarId, eventId, name] = process.argv.slice(2);
const url = process.env.CREATE_CONFERENCE_URL;
const offered = manifest().addOns.calendar.conferenceSolution;
const solution = name ? offered.find((each) => each.name === name) : offered[0];
if (!url || !calendarId || !eventId || !solution) {
  console.error('create.js: set CREATE_CONFERENCE_URL, give CALENDAR_ID EVENT_ID [a SOLUTION]');
  process.exit(1);
}
const { functions, state } = load({ url, token: process.env.IDENTITY_TOKEN, user: calendarId });
const data = functions[solution.onCreateFunction]({ eventData: { calendarId, eventId } });
console.log(data.printJson());
for (const line of state.log) console.error(line);
