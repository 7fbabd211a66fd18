/**
 * The bridge between Calendar and the function `create_conference`.
 *
 * A person picks a conference solution in Calendar, and Calendar calls one of the functions in
 * Solutions.js. The bridge hands the event's ids and the person's ID token to `create_conference`
 * and turns the answer into ConferenceData. The bridge keeps nothing and decides nothing.
 * Functions whose name ends in `_` cannot be called from outside.
 */

/**
 * @typedef {'AUTHENTICATION' | 'CONFERENCE_SOLUTION_FORBIDDEN' | 'PERMANENT' |
 *     'PERMISSION_DENIED' | 'TEMPORARY' | 'UNKNOWN'} ErrorType
 * @typedef {{type: ErrorType, sentence: string}} Problem
 * @typedef {{id: string, name: string}} Solution
 * @typedef {{[member: string]: unknown}} JsonObject
 * @typedef {{eventData?: {calendarId?: string, eventId?: string}}} CreateArgument
 */

/**
 * What Calendar takes, in characters or in numbers.
 * https://developers.google.com/apps-script/reference/conference-data
 */
const LIMIT = {
  conferenceId: 512,
  entryPoints: 300,
  uri: 1300,
  label: 512,
  code: 128,
  parameters: 300,
  parameterKey: 50,
  parameterValue: 1024,
  notes: 2048,
};

/**
 * The error types that `create_conference` names with each status (design, section 9).
 * @type {{[status: number]: ErrorType[]}}
 */
const NAMED_TYPES = {
  400: ['PERMANENT'],
  403: ['PERMISSION_DENIED', 'CONFERENCE_SOLUTION_FORBIDDEN'],
  422: ['PERMANENT'],
  503: ['TEMPORARY'],
};

/**
 * What a person reads where the answer brings no sentence of its own.
 * @type {{[type in ErrorType]: string}}
 */
const SENTENCES = {
  AUTHENTICATION:
    'The conference service could not confirm who you are. Sign in with your work account and ' +
    'allow the add-on to see your email address.',
  CONFERENCE_SOLUTION_FORBIDDEN:
    'You may not use this conference solution. Ask your administrator to allow it.',
  PERMANENT: 'No conference can be made for this event. Tell your administrator.',
  PERMISSION_DENIED:
    'You may not change this event. Ask the owner of the calendar for the right to change events.',
  TEMPORARY: 'The conference service cannot be reached at the moment. Wait a minute and try again.',
  UNKNOWN:
    'The conference service gave an answer that the add-on does not understand. Tell your ' +
    'administrator.',
};

/**
 * Where somebody goes whose token was refused although all permissions are granted: that person is
 * signed in with an account of another domain.
 */
const ACCOUNT_CHOOSER = 'https://accounts.google.com/AccountChooser';

/**
 * Asks for the conference of one event and returns what Calendar shows.
 *
 * Never throws: every failure is ConferenceData with a ConferenceError. Safe to repeat:
 * `create_conference` makes one conference for each event and solution (A3).
 * https://developers.google.com/workspace/add-ons/calendar/conferencing/create-conference
 *
 * @param {string} solutionId the solution's id in the manifest
 * @param {CreateArgument} arg what Calendar passes, for example
 *     `{eventData: {calendarId: 'ann@example.com', eventId: 'abc123'}}`
 * @return {GoogleAppsScript.Conference_Data.ConferenceData}
 */
function createConferenceFor_(solutionId, arg) {
  const solution = ADDON.solutions.find((each) => each.id === solutionId);
  const calendarId = text_(arg?.eventData?.calendarId);
  const eventId = text_(arg?.eventData?.eventId);
  if (!solution || !calendarId || !eventId) {
    return errorData_({ type: 'PERMANENT', sentence: SENTENCES.PERMANENT });
  }
  const { body, problem } = ask_({
    calendar_id: calendarId,
    event_id: eventId,
    solution: solution.name,
  });
  if (problem) {
    return errorData_(problem);
  }
  if (!text_(body.conference_id)) {
    return errorData_({ type: 'TEMPORARY', sentence: SENTENCES.TEMPORARY });
  }
  try {
    return conferenceData_(body, solution);
  } catch {
    // Calendar's own services refuse values by throwing. Asking again would bring the same values.
    // The error may hold a join link, which no log keeps.
    console.error('The conference data of create_conference cannot be shown');
    return errorData_({ type: 'UNKNOWN', sentence: SENTENCES.UNKNOWN });
  }
}

/**
 * Posts one question to `create_conference` as the person who runs the script.
 *
 * @param {{[member: string]: string}} question
 * @return {{body: JsonObject, problem: null} | {body: null, problem: Problem}}
 */
function ask_(question) {
  const token = identityToken_();
  if (!token) {
    return { body: null, problem: problem_(401, null) };
  }
  let status;
  let body;
  try {
    const response = UrlFetchApp.fetch(ADDON.createConferenceUrl, {
      method: 'post',
      contentType: 'application/json',
      headers: { Authorization: `Bearer ${token}` },
      payload: JSON.stringify(question),
      muteHttpExceptions: true,
      // The token is for this address only.
      followRedirects: false,
    });
    status = response.getResponseCode();
    body = parseObject_(response.getContentText());
  } catch (error) {
    // No answer at all: name resolution, TLS, a timeout. The message may hold the URL, no token.
    console.warn('create_conference gave no answer', String(error));
    return { body: null, problem: { type: 'TEMPORARY', sentence: SENTENCES.TEMPORARY } };
  }
  if (status === 200 && body) {
    return { body, problem: null };
  }
  const problem = problem_(status, body);
  console.warn('create_conference refused', status, problem.type);
  return { body: null, problem };
}

/**
 * The ID token of the person who runs the script, or null where `openid` was not granted.
 * https://developers.google.com/apps-script/guides/services/cloud-run
 *
 * @return {string | null}
 */
function identityToken_() {
  try {
    return ScriptApp.getIdentityToken() || null;
  } catch (error) {
    console.warn('No identity token', String(error));
    return null;
  }
}

/**
 * Turns an answer other than 200 with a JSON object into the error that Calendar knows.
 *
 * `error.type` counts only where the contract has it for that status. An answer without JSON is
 * not the function's own: a proxy's page, or the front end while the function starts.
 *
 * @param {number} status
 * @param {JsonObject | null} body
 * @return {Problem}
 */
function problem_(status, body) {
  const error = /** @type {JsonObject} */ (isObject_(body?.error) ? body?.error : {});
  const named = (NAMED_TYPES[status] || []).find((type) => type === error.type);
  if (named) {
    return { type: named, sentence: text_(error.message) || SENTENCES[named] };
  }
  /** @type {ErrorType} */
  let type = body ? 'UNKNOWN' : 'TEMPORARY';
  if (status === 401) {
    type = 'AUTHENTICATION';
  } else if (status === 400 || status === 422) {
    type = 'PERMANENT';
  } else if (status === 408 || status === 429 || status >= 500) {
    type = 'TEMPORARY';
  }
  return { type, sentence: SENTENCES[type] };
}

/**
 * Builds ConferenceData from an answer of `create_conference`.
 *
 * What Calendar would refuse is left out where the conference works without: a cut passcode or join
 * link would be a wrong one, so only labels and notes are shortened. Throws where nothing useful
 * is left: the id is too long, or no entry point fits.
 *
 * @param {JsonObject} answer
 * @param {Solution} asked the solution that was asked for
 * @return {GoogleAppsScript.Conference_Data.ConferenceData}
 */
function conferenceData_(answer, asked) {
  const conferenceId = fitting_(answer.conference_id, LIMIT.conferenceId);
  const entryPoints = (Array.isArray(answer.entry_points) ? answer.entry_points : [])
    .map(entryPoint_)
    .filter((entryPoint) => entryPoint !== null)
    .slice(0, LIMIT.entryPoints);
  if (!conferenceId || entryPoints.length === 0) {
    throw new Error('the conference id is too long, or no entry point can be shown');
  }
  const solution = ADDON.solutions.find((each) => each.name === answer.solution) || asked;
  const builder = ConferenceDataService.newConferenceDataBuilder()
    .setConferenceId(conferenceId)
    .setConferenceSolutionId(solution.id);
  for (const entryPoint of entryPoints) {
    builder.addEntryPoint(entryPoint);
  }
  for (const [key, value] of parameters_(answer.parameters)) {
    builder.addConferenceParameter(
      ConferenceDataService.newConferenceParameter().setKey(key).setValue(value),
    );
  }
  const notes = shortened_(answer.notes, LIMIT.notes);
  if (notes) {
    builder.setNotes(notes);
  }
  return builder.build();
}

/**
 * Builds one entry point, or returns null for one that Calendar would refuse.
 *
 * @param {unknown} answer `{"type", "uri", "label", "meeting_code", "access_code", "passcode",
 *     "password", "pin", "region_code"}`, all but the first two optional
 * @return {GoogleAppsScript.Conference_Data.EntryPoint | null}
 */
function entryPoint_(answer) {
  if (!isObject_(answer)) {
    return null;
  }
  const types = ConferenceDataService.EntryPointType;
  const type = { video: types.VIDEO, phone: types.PHONE, sip: types.SIP, more: types.MORE }[
    String(answer.type)
  ];
  const uri = fitting_(answer.uri, LIMIT.uri);
  if (type === undefined || !/^(https?|tel|sip):/i.test(uri)) {
    return null;
  }
  const entryPoint = ConferenceDataService.newEntryPoint().setEntryPointType(type).setUri(uri);
  const meetingCode = fitting_(answer.meeting_code, LIMIT.code);
  const accessCode = fitting_(answer.access_code, LIMIT.code);
  const passcode = fitting_(answer.passcode, LIMIT.code);
  const password = fitting_(answer.password, LIMIT.code);
  const pin = fitting_(answer.pin, LIMIT.code);
  const regionCode = fitting_(answer.region_code, LIMIT.code);
  const label = shortened_(answer.label, LIMIT.label);
  if (meetingCode) entryPoint.setMeetingCode(meetingCode);
  if (accessCode) entryPoint.setAccessCode(accessCode);
  if (passcode) entryPoint.setPasscode(passcode);
  if (password) entryPoint.setPassword(password);
  if (pin) entryPoint.setPin(pin);
  if (regionCode) entryPoint.setRegionCode(regionCode);
  // Calendar knows labels, but Apps Script documents no setter: without one Calendar shows the URI.
  const labelled = /** @type {{setLabel?: (label: string) => unknown}} */ (entryPoint);
  if (label && typeof labelled.setLabel === 'function') labelled.setLabel(label);
  return entryPoint;
}

/**
 * @param {unknown} answer an object of texts
 * @return {[string, string][]}
 */
function parameters_(answer) {
  /** @type {[string, string][]} */
  const pairs = Object.entries(isObject_(answer) ? answer : {}).map(([key, value]) => [
    fitting_(key, LIMIT.parameterKey),
    fitting_(value, LIMIT.parameterValue),
  ]);
  return pairs.filter(([key, value]) => key && value).slice(0, LIMIT.parameters);
}

/**
 * ConferenceData that says why there is no conference.
 *
 * ConferenceError has no text of its own, so the sentence goes into the notes.
 *
 * @param {Problem} problem
 * @return {GoogleAppsScript.Conference_Data.ConferenceData}
 */
function errorData_({ type, sentence }) {
  const error = ConferenceDataService.newConferenceError().setConferenceErrorType(
    ConferenceDataService.ConferenceErrorType[type],
  );
  if (type === 'AUTHENTICATION') {
    error.setAuthenticationUrl(signInUrl_());
  }
  // Notes may hold HTML; a sentence is text.
  const notes = sentence.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  return ConferenceDataService.newConferenceDataBuilder()
    .setError(error)
    .setNotes(shortened_(notes, LIMIT.notes))
    .build();
}

/**
 * The page that grants what is missing, or the choice of another account.
 *
 * @return {string}
 */
function signInUrl_() {
  try {
    const url = ScriptApp.getAuthorizationInfo(ScriptApp.AuthMode.FULL).getAuthorizationUrl();
    return url || ACCOUNT_CHOOSER;
  } catch (error) {
    console.warn('No authorization info', String(error));
    return ACCOUNT_CHOOSER;
  }
}

/**
 * @param {string} text
 * @return {JsonObject | null} null for anything but a JSON object
 */
function parseObject_(text) {
  try {
    const value = JSON.parse(text);
    return isObject_(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @return {value is JsonObject}
 */
function isObject_(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @return {string} '' for anything but a text or a number
 */
function text_(value) {
  return typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
}

/**
 * @param {unknown} value
 * @param {number} limit in characters
 * @return {string} '' where the value is too long
 */
function fitting_(value, limit) {
  const text = text_(value);
  return text.length <= limit ? text : '';
}

/**
 * @param {unknown} value a text, which may hold HTML
 * @param {number} limit in characters
 * @return {string} cut before a tag, an entity or a surrogate pair that would not fit
 */
function shortened_(value, limit) {
  const text = text_(value);
  if (text.length <= limit) {
    return text;
  }
  return text.slice(0, limit).replace(/(<[^>]*|&[^;\s]{0,10}|[\uD800-\uDBFF])$/, '');
}
