/**
 * The bridge against create_conference itself, where CREATE_CONFERENCE_URL names one, else against
 * the small contract server.
 *
 * A real function needs more: IDENTITY_TOKEN (a token it accepts), CALENDAR_ID (that user's
 * calendar) and EVENT_ID (a valid id, the event need not exist).
 */

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { load, manifest } = require('./support/apps-script.js');
const { startContractServer, CALENDAR, TOKEN } = require('./support/contract-server.js');

const { CREATE_CONFERENCE_URL: given, IDENTITY_TOKEN, CALENDAR_ID, EVENT_ID } = process.env;
const eventData = {
  calendarId: given ? CALENDAR_ID : CALENDAR,
  eventId: EVENT_ID ?? 'draft0000000001',
};
const token = given ? IDENTITY_TOKEN : TOKEN;
let server = { url: given, stop() {} };
before(async () => {
  if (!given) server = await startContractServer();
});
after(() => server.stop());

function pick(change = {}) {
  const { functions } = load({ url: server.url, token, ...change });
  const [solution] = manifest().addOns.calendar.conferenceSolution;
  const create = functions[solution.onCreateFunction];
  return JSON.parse(create({ eventData: change.eventData ?? eventData }).printJson());
}

test('a person who picks the solution twice gets one conference', () => {
  const [first, second] = [pick(), pick()];
  assert.equal(first.error, undefined, JSON.stringify(first));
  assert.ok(first.conferenceId);
  assert.ok(first.entryPoints.length >= 1);
  assert.deepEqual(second, first);
});

test('create.js shows the same from the command line', () => {
  const script = path.join(__dirname, 'create.js');
  const done = spawnSync(process.execPath, [script, eventData.calendarId, eventData.eventId], {
    env: { ...process.env, CREATE_CONFERENCE_URL: server.url, IDENTITY_TOKEN: token },
    encoding: 'utf8',
  });
  assert.equal(done.status, 0, done.stderr);
  assert.deepEqual(JSON.parse(done.stdout), pick());
});

test('a forged token is AUTHENTICATION', () => {
  assert.equal(pick({ token: 'forged' }).error.conferenceErrorType, 'AUTHENTICATION');
});

test('a calendar of somebody else is PERMISSION_DENIED', () => {
  const shown = pick({ eventData: { ...eventData, calendarId: 'nobody@elsewhere.example' } });
  assert.equal(shown.error.conferenceErrorType, 'PERMISSION_DENIED');
});

test('a solution that no provider has is CONFERENCE_SOLUTION_FORBIDDEN', () => {
  const shown = pick({
    change: (known) => {
      known.solutions[0].name = 'Telepathy';
    },
  });
  assert.equal(shown.error.conferenceErrorType, 'CONFERENCE_SOLUTION_FORBIDDEN');
});

test('the calendar has a status afterwards', () => {
  const { functions } = load({ url: server.url, token, user: eventData.calendarId });
  const state = functions.calendarState_(eventData.calendarId);
  assert.ok(['starting', 'ok', 'polled'].includes(state.status), JSON.stringify(state));
});
