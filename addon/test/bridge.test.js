/** The bridge: one question to create_conference, and its answer as Calendar takes it. */

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { load, manifest } = require('./support/apps-script.js');
const { startContractServer, CALENDAR, SOLUTION, TOKEN } = require('./support/contract-server.js');

const EVENT = 'event1';
let server;
before(async () => {
  server = await startContractServer();
});
after(() => server.stop());

/** What Calendar is shown when Ann picks the first solution and the function answers `answer`. */
async function pick(answer, given = {}, eventData = { calendarId: CALENDAR, eventId: EVENT }) {
  await server.set(answer);
  const addOn = load({ url: server.url, token: TOKEN, ...given });
  const [solution] = manifest().addOns.calendar.conferenceSolution;
  const shown = JSON.parse(addOn.functions[solution.onCreateFunction]({ eventData }).printJson());
  return { ...shown, log: addOn.state.log };
}

/** An answer with one video entry point, changed by `changes`. */
const created = (changes) => ({
  status: 200,
  body: {
    conference_id: 'c1',
    solution: SOLUTION,
    entry_points: [{ type: 'video', uri: 'https://meet.example.com/c1' }],
    notes: '',
    parameters: {},
    ...changes,
  },
});

test('the function gets the three members and the token, and nothing else', async () => {
  await server.requests();
  await pick(created());
  const [request, ...others] = await server.requests();
  assert.equal(others.length, 0);
  assert.equal(request.method, 'POST');
  assert.equal(request.headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(request.headers['content-type'], 'application/json');
  assert.deepEqual(request.body, { calendar_id: CALENDAR, event_id: EVENT, solution: SOLUTION });
});

test('every member of the answer reaches Calendar', async () => {
  const codes = {
    meetingCode: '123',
    accessCode: 'a',
    passcode: 'b',
    password: 'c',
    pin: 'd',
    regionCode: 'CH',
  };
  const shown = await pick(
    created({
      entry_points: [
        {
          type: 'video',
          uri: 'https://meet.example.com/c1',
          label: 'meet.example.com/c1',
          meeting_code: '123',
          access_code: 'a',
          passcode: 'b',
          password: 'c',
          pin: 'd',
          region_code: 'CH',
        },
        { type: 'phone', uri: 'tel:+41441234567' },
        { type: 'sip', uri: 'sip:c1@meet.example.com' },
        { type: 'more', uri: 'https://meet.example.com/more' },
      ],
      notes: 'Say <b>hello</b>.',
      parameters: { realMeetingId: '99', room: 7 },
    }),
  );
  assert.equal(shown.conferenceId, 'c1');
  assert.equal(shown.conferenceSolutionId, 'my-web-conference');
  assert.equal(shown.notes, 'Say <b>hello</b>.');
  assert.deepEqual(shown.entryPoints, [
    { entryPointType: 'VIDEO', uri: 'https://meet.example.com/c1', ...codes },
    { entryPointType: 'PHONE', uri: 'tel:+41441234567' },
    { entryPointType: 'SIP', uri: 'sip:c1@meet.example.com' },
    { entryPointType: 'MORE', uri: 'https://meet.example.com/more' },
  ]);
  assert.deepEqual(shown.parameters, [
    { key: 'realMeetingId', value: '99' },
    { key: 'room', value: '7' },
  ]);
  assert.equal(shown.error, undefined);
});

describe('an error is shown as its kind, with a sentence', () => {
  const says = (type, message = 'Ask Bob.') => ({ error: { type, message } });
  const page = '<html>Bad gateway</html>';
  const rows = [
    ['401', { status: 401 }, 'AUTHENTICATION', /could not confirm who you are/],
    [
      '403 denied',
      { status: 403, body: says('PERMISSION_DENIED') },
      'PERMISSION_DENIED',
      'Ask Bob.',
    ],
    [
      '403 solution',
      { status: 403, body: says('CONFERENCE_SOLUTION_FORBIDDEN') },
      'CONFERENCE_SOLUTION_FORBIDDEN',
      'Ask Bob.',
    ],
    ['400', { status: 400, body: says('PERMANENT') }, 'PERMANENT', 'Ask Bob.'],
    ['400 without a body', { status: 400 }, 'PERMANENT', /No conference can be made/],
    ['422', { status: 422, body: says('PERMANENT') }, 'PERMANENT', 'Ask Bob.'],
    ['422 without a body', { status: 422 }, 'PERMANENT', /No conference can be made/],
    ['422 without a sentence', { status: 422, body: says('PERMANENT', 7.5) }, 'PERMANENT', '7.5'],
    ['503', { status: 503, body: says('TEMPORARY') }, 'TEMPORARY', 'Ask Bob.'],
    ['503 page', { status: 503, text: page }, 'TEMPORARY', /Wait a minute/],
    ['500', { status: 500, body: {} }, 'TEMPORARY', /Wait a minute/],
    ['429', { status: 429, body: {} }, 'TEMPORARY', /Wait a minute/],
    ['200 page', { status: 200, text: page }, 'TEMPORARY', /Wait a minute/],
    ['403 page', { status: 403, text: page }, 'TEMPORARY', /Wait a minute/],
    ['200 list', { status: 200, body: [] }, 'TEMPORARY', /Wait a minute/],
    ['200 without id', created({ conference_id: null }), 'TEMPORARY', /Wait a minute/],
    ['redirect', { status: 302, headers: { Location: '/' } }, 'TEMPORARY', /Wait a minute/],
    ['no answer', { hangUp: true }, 'TEMPORARY', /Wait a minute/],
    ['403 foreign type', { status: 403, body: says('TEMPORARY') }, 'UNKNOWN', /not understand/],
    ['404', { status: 404, body: says('PERMANENT') }, 'UNKNOWN', /not understand/],
    ['markup', { status: 422, body: says('PERMANENT', '<b>&') }, 'PERMANENT', '&lt;b&gt;&amp;'],
  ];
  for (const [name, answer, type, sentence] of rows) {
    test(name, async () => {
      const shown = await pick(answer);
      assert.equal(shown.error.conferenceErrorType, type);
      assert.match(shown.notes, sentence instanceof RegExp ? sentence : /./);
      if (typeof sentence === 'string') assert.equal(shown.notes, sentence);
      assert.equal(shown.conferenceId, undefined);
    });
  }
});

test('the solution shown is the one that was made, else the one that was asked for', async () => {
  const change = (known) => {
    known.solutions.push({ id: 'second', name: 'Second' });
  };
  for (const [solution, id] of [
    ['Second', 'second'],
    ['Telepathy', 'my-web-conference'],
    [undefined, 'my-web-conference'],
  ]) {
    assert.equal((await pick(created({ solution }), { change })).conferenceSolutionId, id);
  }
});

test('a service that is not there is TEMPORARY', async () => {
  const gone = await startContractServer();
  await gone.stop();
  const shown = await pick(null, { url: gone.url });
  assert.equal(shown.error.conferenceErrorType, 'TEMPORARY');
});

test('a redirect is not followed: the token is for one address only', async () => {
  await server.requests();
  await pick({ status: 307, headers: { Location: '/elsewhere' } });
  assert.deepEqual(
    (await server.requests()).map((request) => request.url),
    ['/'],
  );
});

test('without a token nothing is sent, and the person is led to the consent page', async () => {
  await server.requests();
  const authorizationUrl = 'https://script.google.com/consent';
  for (const token of [null, new Error('no permission')]) {
    const shown = await pick(created(), { token, authorizationUrl });
    assert.equal(shown.error.conferenceErrorType, 'AUTHENTICATION');
    assert.equal(shown.error.authenticationUrl, authorizationUrl);
  }
  assert.deepEqual(await server.requests(), []);
});

test('who granted all and is refused may choose another account', async () => {
  const shown = await pick({ status: 401 });
  assert.equal(shown.error.authenticationUrl, 'https://accounts.google.com/AccountChooser');
});

test('an event without ids is refused here', async () => {
  await server.requests();
  for (const eventData of [undefined, { calendarId: CALENDAR }, { eventId: EVENT }]) {
    const shown = await pick(created(), {}, eventData === undefined ? null : eventData);
    assert.equal(shown.error.conferenceErrorType, 'PERMANENT');
  }
  assert.deepEqual(await server.requests(), []);
});

describe('Calendar gets no more than it takes', () => {
  test('a text is cut, not through a tag, an entity or a character', async () => {
    for (const [end, kept] of [
      ['<b>bold</b>', 2046],
      ['&amp;', 2046],
      ['\u{1F600}', 2047],
    ]) {
      const notes = `${'x'.repeat(kept)}${end}${'y'.repeat(100)}`;
      assert.equal((await pick(created({ notes }))).notes, 'x'.repeat(kept));
    }
  });

  test('a code or a way in that does not fit is left out, never cut', async () => {
    const video = { type: 'video', uri: 'https://meet.example.com/c1', pin: '1'.repeat(129) };
    const long = { type: 'more', uri: `https://meet.example.com/${'x'.repeat(1300)}` };
    const wrong = { type: 'video', uri: 'javascript:alert(1)' };
    const strange = { type: 'fax', uri: 'tel:1' };
    const shown = await pick(created({ entry_points: [video, long, wrong, strange, null, 'x'] }));
    assert.deepEqual(shown.entryPoints, [{ entryPointType: 'VIDEO', uri: video.uri }]);
  });

  test('300 entry points and 300 parameters', async () => {
    const phones = Array.from({ length: 400 }, (_, n) => ({ type: 'phone', uri: `tel:+41${n}` }));
    const parameters = Object.fromEntries(phones.map((phone) => [phone.uri, 'x']));
    const shown = await pick(created({ entry_points: phones, parameters }));
    assert.equal(shown.entryPoints.length, 300);
    assert.equal(shown.parameters.length, 300);
  });

  test('a parameter that does not fit is left out', async () => {
    const parameters = {
      ['k'.repeat(51)]: 'x',
      long: 'x'.repeat(1025),
      list: [],
      empty: '',
      ok: 'x',
    };
    const shown = await pick(created({ parameters }));
    assert.deepEqual(shown.parameters, [{ key: 'ok', value: 'x' }]);
  });

  test('an id that does not fit, or no way in, is an error', async () => {
    for (const changes of [{ conference_id: 'x'.repeat(513) }, { entry_points: [] }]) {
      const shown = await pick(created(changes));
      assert.equal(shown.error.conferenceErrorType, 'UNKNOWN');
    }
  });
});

test('the log holds no token, no id and no join link', async () => {
  for (const answer of [
    created(),
    { status: 401 },
    { hangUp: true },
    created({ entry_points: [] }),
  ]) {
    const { log } = await pick(answer);
    for (const secret of [TOKEN, CALENDAR, EVENT, 'meet.example.com']) {
      assert.ok(!log.join('\n').includes(secret), log.join('\n'));
    }
  }
});

test('each function that the manifest names exists', () => {
  const { functions, known } = load({ url: server.url });
  const { conferenceSolution, homepageTrigger } = manifest().addOns.calendar;
  for (const { onCreateFunction } of conferenceSolution) {
    assert.equal(typeof functions[onCreateFunction], 'function');
  }
  assert.equal(typeof functions[homepageTrigger.runFunction], 'function');
  assert.deepEqual(
    conferenceSolution.map(({ id, name }) => ({ id, name })),
    JSON.parse(JSON.stringify(known.solutions)),
  );
});
