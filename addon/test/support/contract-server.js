/**
 * A small create_conference: the contract of the design's section 9, in a thread of its own,
 * because a script that waits for its answer blocks the thread it runs in.
 *
 * It knows one token, one solution and one calendar that may be written. Answers can be set in
 * advance. It keeps what it was asked.
 */

const http = require('node:http');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

const TOKEN = 'token-of-ann';
const CALENDAR = 'ann@example.com';
const SOLUTION = 'My Web Conference';

/** Starts the server. `set(answer)` is what it says from now on, null means the contract. */
async function startContractServer() {
  const worker = new Worker(__filename);
  const answer = () => new Promise((resolve) => worker.once('message', resolve));
  const port = await answer();
  const ask = (question) => {
    const answered = answer();
    worker.postMessage(question);
    return answered;
  };
  return {
    url: `http://127.0.0.1:${port}/`,
    set: (value) => ask({ set: value }),
    requests: () => ask({ take: 'requests' }),
    conferences: () => ask({ take: 'conferences' }),
    stop: () => worker.terminate(),
  };
}

const refusal = (status, type, message) => ({ status, body: { error: { type, message } } });

/** What the contract says to one request. */
function answerTo(request, conferences) {
  if (request.method !== 'POST') return { status: 405 };
  if (request.headers.authorization !== `Bearer ${TOKEN}`) return { status: 401 };
  const { calendar_id: calendarId, event_id: eventId, solution } = request.body ?? {};
  if (!calendarId) return refusal(400, 'PERMANENT', 'The request names no calendar.');
  if (calendarId !== CALENDAR) {
    return refusal(403, 'PERMISSION_DENIED', 'You may not change this calendar.');
  }
  if (Object.keys(request.body).length === 1) {
    return { status: 200, body: { calendar_id: calendarId, status: 'ok', reason: null } };
  }
  if (solution !== SOLUTION) {
    return refusal(403, 'CONFERENCE_SOLUTION_FORBIDDEN', 'There is no such solution.');
  }
  const key = JSON.stringify([calendarId, eventId, solution]);
  conferences[key] ??= {
    conference_id: `conference-${Object.keys(conferences).length + 1}`,
    solution,
    entry_points: [
      { type: 'video', uri: 'https://meet.example.com/1', label: 'meet.example.com/1' },
    ],
    notes: '',
    parameters: {},
  };
  return { status: 200, body: conferences[key] };
}

if (isMainThread) {
  module.exports = { startContractServer, TOKEN, CALENDAR, SOLUTION };
} else {
  const requests = [];
  const conferences = {};
  let preset = null;
  const server = http.createServer(async (incoming, outgoing) => {
    let text = '';
    for await (const part of incoming) text += part;
    const { method, headers, url } = incoming;
    const request = { method, headers, url, body: JSON.parse(text || 'null') };
    requests.push(request);
    const answer = preset ?? answerTo(request, conferences);
    if (answer.hangUp) {
      incoming.socket.destroy();
      return;
    }
    const type = answer.text === undefined ? 'application/json' : 'text/html';
    outgoing.writeHead(answer.status, { 'Content-Type': type, ...answer.headers });
    outgoing.end(answer.text ?? (answer.body === undefined ? '' : JSON.stringify(answer.body)));
  });
  parentPort.on('message', (question) => {
    if ('set' in question) {
      preset = question.set;
      parentPort.postMessage('set');
    } else {
      const taken = { requests: requests.splice(0), conferences }[question.take];
      parentPort.postMessage(taken);
    }
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
}
