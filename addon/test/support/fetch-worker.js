/** Makes requests one at a time, while the script waits as it does in Apps Script. */

const { parentPort } = require('node:worker_threads');

async function request({ url, options }) {
  const response = await fetch(url, {
    method: options.method,
    headers: { ...options.headers, 'Content-Type': options.contentType },
    body: options.payload,
    redirect: options.followRedirects === false ? 'manual' : 'follow',
  });
  return { status: response.status, text: await response.text() };
}

parentPort.on('message', async (question) => {
  const answer = await request(question).catch((error) => ({
    error: `Address unavailable: ${error.message}`,
  }));
  question.port.postMessage(answer);
  Atomics.store(question.done, 0, 1);
  Atomics.notify(question.done, 0);
});
