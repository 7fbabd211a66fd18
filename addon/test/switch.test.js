/** Switching from an add-on with a sync of its own, and the home page. */

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const vm = require('node:vm');
const { load } = require('./support/apps-script.js');
const { startContractServer, CALENDAR, TOKEN } = require('./support/contract-server.js');

const ROOM = 'room@example.com';
const old = (source) => ({ source, handler: 'syncEvents' });
const OTHERS = [
  { source: CALENDAR, handler: 'remindMe' },
  { source: null, handler: 'syncEvents' },
];
let server;
before(async () => {
  server = await startContractServer();
});
after(() => server.stop());

const says = (status, reason = null, calendarId = CALENDAR) => ({
  status: 200,
  body: { calendar_id: calendarId, status, reason },
});

/** The old add-on of Ann, with one trigger for each of `calendars` and Google's one token. */
async function oldAddOn(answer, calendars = [CALENDAR], given = {}) {
  await server.set(answer);
  return load({
    url: server.url,
    token: TOKEN,
    triggers: [...calendars.map(old), ...OTHERS],
    properties: { syncToken: 'old', theme: 'dark' },
    ...given,
  });
}

describe('the old sync goes once the calendar is in step here', () => {
  for (const status of ['ok', 'polled']) {
    test(status, async () => {
      const { functions, state } = await oldAddOn(says(status));
      await server.requests();
      const outcome = functions.switchCalendar(CALENDAR);
      assert.equal(outcome.switched, true, outcome.reason);
      assert.deepEqual(state.triggers, OTHERS);
      assert.deepEqual(state.properties, { theme: 'dark' });
      const requests = await server.requests();
      assert.deepEqual(
        requests.map((request) => request.body),
        [{ calendar_id: CALENDAR }],
      );
    });
  }
});

describe('otherwise nothing is changed, and the reason is told', () => {
  const rows = {
    starting: [says('starting'), /first time/],
    broken: [says('broken', 'Share the calendar.'), /Share the calendar\./],
    'an unknown status': [says('sleeping'), /not understand/],
    'another calendar': [says('ok', null, ROOM), /not understand/],
    'no status': [{ status: 200, body: {} }, /not understand/],
    refused: [{ status: 401 }, /who you are/],
    'not allowed': [
      { status: 403, body: { error: { type: 'PERMISSION_DENIED', message: 'Not yours.' } } },
      /Not yours\./,
    ],
    unavailable: [{ status: 503, text: '<html>' }, /Wait a minute/],
    'no answer': [{ hangUp: true }, /Wait a minute/],
  };
  for (const [name, [answer, reason]] of Object.entries(rows)) {
    test(name, async () => {
      const { functions, state } = await oldAddOn(answer);
      const outcome = functions.switchCalendar(CALENDAR);
      assert.equal(outcome.switched, false);
      assert.match(outcome.reason, /^Nothing was changed: /);
      assert.match(outcome.reason, reason);
      assert.deepEqual(state.triggers, [old(CALENDAR), ...OTHERS]);
      assert.deepEqual(state.properties, { syncToken: 'old', theme: 'dark' });
    });
  }
});

test('switching twice is switching once', async () => {
  const { functions, state } = await oldAddOn(says('ok'));
  functions.switchCalendar(CALENDAR);
  assert.equal(functions.switchCalendar(CALENDAR).switched, true);
  assert.deepEqual(state.triggers, OTHERS);
});

test('a switch that stopped after the trigger is completed by the next', async () => {
  const { functions, state } = await oldAddOn(says('ok'), []);
  assert.equal(functions.switchCalendar(CALENDAR).switched, true);
  assert.deepEqual(state.properties, { theme: 'dark' });
});

test('the line at the end of the old sync switches once the calendar is in step here', async () => {
  const code = `
    const applied = [];
    function syncEvents(e) {
      applied.push(e.change);
      switchCalendar(e.calendarId);
    }`;
  const { functions, state } = await oldAddOn(says('starting'), [CALENDAR], { code });
  const applied = () => [...vm.runInContext('applied', functions)];
  const fire = (change) => {
    if (state.triggers.some((each) => each.source === CALENDAR && each.handler === 'syncEvents')) {
      functions.syncEvents({ calendarId: CALENDAR, change });
    }
  };
  fire('deleted before the first sync here');
  await server.set(says('ok'));
  fire('deleted during the first sync here');
  fire('moved afterwards');
  assert.deepEqual(applied(), [
    'deleted before the first sync here',
    'deleted during the first sync here',
  ]);
  assert.deepEqual(state.triggers, OTHERS);
});

test('run from the editor, it switches the main calendar', async () => {
  const { functions, state } = await oldAddOn(says('ok'));
  assert.equal(functions.switchCalendar().calendar_id, CALENDAR);
  assert.deepEqual(state.triggers, OTHERS);
});

test('the token stays while a trigger is left that would need it', async () => {
  const failing = {
    deleteTrigger() {
      throw new Error('busy');
    },
  };
  const { functions, state } = await oldAddOn(says('ok'), [CALENDAR], failing);
  const outcome = functions.switchCalendar(CALENDAR);
  assert.equal(outcome.switched, false);
  assert.match(outcome.reason, /Try again/);
  assert.equal(state.properties.syncToken, 'old');
});

test('one token serves two calendars: it goes with the last trigger', async () => {
  const { functions, state } = await oldAddOn(says('ok'), [CALENDAR, ROOM]);
  functions.switchCalendar(CALENDAR);
  assert.deepEqual(state.triggers, [old(ROOM), ...OTHERS]);
  assert.equal(state.properties.syncToken, 'old');
  await server.set(says('ok', null, ROOM));
  functions.switchCalendar(ROOM);
  assert.deepEqual(state.properties, { theme: 'dark' });
});

test('all calendars of the user are asked about, each once', async () => {
  const { functions, state } = await oldAddOn(null, [CALENDAR, ROOM]);
  const outcomes = functions.switchCalendars();
  // The contract server lets Ann change her own calendar only.
  assert.deepEqual(
    [...outcomes].map((outcome) => [outcome.calendar_id, outcome.switched]),
    [
      [CALENDAR, true],
      [ROOM, false],
    ],
  );
  assert.deepEqual(state.triggers, [old(ROOM), ...OTHERS]);
});

test('without the permission to see triggers nothing is changed', async () => {
  const { functions, state } = await oldAddOn(says('ok'), [], {
    triggers: new Error('missing permission'),
  });
  const [outcome] = functions.switchCalendars();
  assert.equal(outcome.switched, false);
  assert.match(outcome.reason, /script\.scriptapp/);
  assert.equal(state.properties.syncToken, 'old');
});

describe('the home page', () => {
  const rows = {
    starting: /Look again in a minute/,
    ok: /follow your calendar\. You need not do anything/,
    polled: /with some delay/,
    broken: /do not follow your calendar at the moment\. Share it\./,
  };
  for (const [status, sentence] of Object.entries(rows)) {
    test(`says what ${status} means`, async () => {
      const { functions } = await oldAddOn(says(status, status === 'broken' ? 'Share it.' : null));
      const [card] = functions.showStatus();
      assert.match(card.texts.join('\n'), sentence);
      assert.match(functions.refreshStatus().card.texts.join('\n'), sentence);
    });
  }

  test('offers the switch only to an add-on that replaces one', async () => {
    for (const offered of [false, true]) {
      const change = (known) => {
        known.switch = offered;
      };
      const { functions } = await oldAddOn(says('ok'), [CALENDAR], { change });
      assert.equal(functions.showStatus()[0].texts.includes('switchFromCard'), offered);
    }
  });

  test('its button switches, and says so', async () => {
    const { functions, state } = await oldAddOn(says('ok'));
    const { card } = functions.switchFromCard();
    assert.match(card.texts.join('\n'), /ann@example\.com: Switched\./);
    assert.deepEqual(state.triggers, OTHERS);
  });
});

test('the developer learns audience and domain, and the log no token', () => {
  const payload = Buffer.from(JSON.stringify({ aud: 'client-1', hd: 'example.com' }));
  const token = `head.${payload.toString('base64url')}.signature`;
  const { functions, state } = load({ url: server.url, token });
  functions.logAudience();
  assert.deepEqual(state.log, ['audience: client-1, domain: example.com']);
});
