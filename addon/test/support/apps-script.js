/**
 * Runs the add-on's real source in Node, with stand-ins for the Apps Script services that it uses.
 *
 * UrlFetchApp speaks real HTTP. ConferenceDataService refuses what Google documents as refused.
 * Not imitated: authorization of each service, quotas, the 30 seconds of a callback, HTML.
 */

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { MessageChannel, receiveMessageOnPort, Worker } = require('node:worker_threads');

const ADDON = path.resolve(__dirname, '..', '..');
const SOURCES = ['Code.js', 'Solutions.js', 'Status.js', 'Switch.js'];

/**
 * Loads the source. `functions` are the add-on's own, as the manifest names them. `state.log` is
 * what the script logged, `state.triggers` and `state.properties` are the user's.
 *
 * @param {object} given `url` of create_conference, and what the services should say: `token`,
 *     `user`, `authorizationUrl`, `triggers` ([{source, handler}], or an Error), `properties`,
 *     `deleteTrigger` (called before each deletion, may throw), `change` (called with ADDON before
 *     the first use), `code` (the old add-on's own source).
 */
function load(given) {
  const state = {
    log: [],
    triggers: given.triggers ?? [],
    properties: { ...(given.properties ?? {}) },
  };
  const log = (...words) => state.log.push(words.map(String).join(' '));
  const context = vm.createContext({
    console: { log, info: log, warn: log, error: log },
    UrlFetchApp: { fetch: fetchSynchronously },
    ConferenceDataService: conferenceDataService(),
    CardService: cardService(),
    Utilities: {
      base64DecodeWebSafe: (text) => Buffer.from(text, 'base64url'),
      newBlob: (bytes) => ({ getDataAsString: () => bytes.toString('utf8') }),
    },
    Session: { getEffectiveUser: () => ({ getEmail: () => given.user ?? 'ann@example.com' }) },
    ScriptApp: {
      AuthMode: { FULL: 'FULL' },
      getIdentityToken() {
        if (given.token instanceof Error) throw given.token;
        return given.token ?? null;
      },
      getAuthorizationInfo: () => ({ getAuthorizationUrl: () => given.authorizationUrl ?? null }),
      getProjectTriggers() {
        if (state.triggers instanceof Error) throw state.triggers;
        return state.triggers.map(trigger);
      },
      deleteTrigger(deleted) {
        given.deleteTrigger?.(deleted);
        state.triggers = state.triggers.filter((each) => each !== deleted.record);
      },
    },
    PropertiesService: {
      getUserProperties: () => ({
        getProperty: (key) => state.properties[key] ?? null,
        deleteProperty(key) {
          delete state.properties[key];
        },
      }),
    },
  });
  for (const source of SOURCES) {
    vm.runInContext(fs.readFileSync(path.join(ADDON, source), 'utf8'), context, source);
  }
  vm.runInContext(given.code ?? '', context, 'old.js');
  const known = vm.runInContext('ADDON', context);
  known.createConferenceUrl = given.url;
  given.change?.(known);
  return { functions: context, known, state };
}

/** @param {{source: string | null, handler: string}} record */
function trigger(record) {
  return {
    record,
    getTriggerSourceId: () => record.source,
    getHandlerFunction: () => record.handler,
  };
}

/** The manifest that is pushed together with the source. */
function manifest() {
  return JSON.parse(fs.readFileSync(path.join(ADDON, 'appsscript.json'), 'utf8'));
}

let fetcher = null;

/** As UrlFetchApp: blocks until the answer is there, throws where there is none. */
function fetchSynchronously(url, options) {
  if (!options.muteHttpExceptions) throw new Error('an error status would throw here');
  if (fetcher === null) {
    fetcher = new Worker(path.join(__dirname, 'fetch-worker.js'));
    fetcher.unref();
  }
  const { port1, port2 } = new MessageChannel();
  const done = new Int32Array(new SharedArrayBuffer(4));
  const question = { url, options: JSON.parse(JSON.stringify(options)), done, port: port2 };
  fetcher.postMessage(question, [port2]);
  Atomics.wait(done, 0, 0);
  const { message } = receiveMessageOnPort(port1);
  port1.close();
  if (message.error) throw new Error(message.error);
  return { getResponseCode: () => message.status, getContentText: () => message.text };
}

/** https://developers.google.com/apps-script/reference/conference-data */
function conferenceDataService() {
  const upTo = (limit, value, what) => {
    if (typeof value !== 'string') throw new Error(`${what} is no text`);
    if (value.length > limit) throw new Error(`${what} is longer than ${limit}`);
    return value;
  };
  const settable = (limits) => {
    const values = {};
    const object = { values };
    for (const [field, limit] of Object.entries(limits)) {
      const setter = `set${field[0].toUpperCase()}${field.slice(1)}`;
      object[setter] = (value) => {
        values[field] = limit ? upTo(limit, value, field) : value;
        return object;
      };
    }
    return object;
  };
  return {
    EntryPointType: { VIDEO: 'VIDEO', PHONE: 'PHONE', SIP: 'SIP', MORE: 'MORE' },
    ConferenceErrorType: Object.fromEntries(
      [
        'AUTHENTICATION',
        'CONFERENCE_SOLUTION_FORBIDDEN',
        'PERMANENT',
        'PERMISSION_DENIED',
        'TEMPORARY',
        'UNKNOWN',
      ].map((type) => [type, type]),
    ),
    newEntryPoint: () =>
      settable({
        entryPointType: 0,
        uri: 1300,
        meetingCode: 128,
        accessCode: 128,
        passcode: 128,
        password: 128,
        pin: 128,
        regionCode: 128,
      }),
    newConferenceParameter: () => settable({ key: 50, value: 1024 }),
    newConferenceError: () => settable({ conferenceErrorType: 0, authenticationUrl: 1800 }),
    newConferenceDataBuilder() {
      const builder = settable({ conferenceId: 512, conferenceSolutionId: 512, notes: 2048 });
      const { values } = builder;
      values.entryPoints = [];
      values.parameters = [];
      builder.addEntryPoint = (entryPoint) => {
        values.entryPoints.push(entryPoint.values);
        if (values.entryPoints.length > 300) throw new Error('more than 300 entry points');
        return builder;
      };
      builder.addConferenceParameter = (parameter) => {
        values.parameters.push(parameter.values);
        if (values.parameters.length > 300) throw new Error('more than 300 parameters');
        return builder;
      };
      builder.setError = (error) => {
        values.error = error.values;
        return builder;
      };
      builder.build = () => {
        const { error } = values;
        if (error) {
          if (!error.conferenceErrorType) throw new Error('an error without its type');
          if (error.conferenceErrorType === 'AUTHENTICATION' && !error.authenticationUrl) {
            throw new Error('AUTHENTICATION without a URL');
          }
        } else if (!values.conferenceSolutionId) {
          throw new Error('no conference solution');
        }
        return { printJson: () => JSON.stringify(values) };
      };
      return builder;
    },
  };
}

/** Each object remembers what it was given. `texts` of a built card are what a person reads. */
function cardService() {
  const texts = [];
  const widget = () => {
    const object = {};
    for (const setter of ['setText', 'setTitle', 'setFunctionName']) {
      object[setter] = (value) => {
        texts.push(value);
        return object;
      };
    }
    for (const setter of ['setOnClickAction', 'addWidget', 'setHeader', 'addSection']) {
      object[setter] = () => object;
    }
    object.setNavigation = (navigation) => {
      object.navigation = navigation;
      return object;
    };
    object.updateCard = (card) => {
      object.card = card;
      return object;
    };
    object.build = () =>
      object.navigation ? { card: object.navigation.card } : { texts: texts.splice(0) };
    return object;
  };
  return Object.fromEntries(
    [
      'newAction',
      'newActionResponseBuilder',
      'newCardBuilder',
      'newCardHeader',
      'newCardSection',
      'newNavigation',
      'newTextButton',
      'newTextParagraph',
    ].map((name) => [name, widget]),
  );
}

module.exports = { load, manifest };
