/**
 * The add-on's home page in Calendar's side panel: the state of the person's own calendar (A8).
 *
 * Opening the page starts the calendar if it is not started, as a first conference does.
 */

/**
 * @typedef {'starting' | 'ok' | 'polled' | 'broken'} CalendarStatus
 * @typedef {{status: CalendarStatus | null, sentence: string}} CalendarState
 */

/** @type {{[status in CalendarStatus]: string}} */
const STATUS_SENTENCES = {
  starting: 'Your calendar is being read for the first time. Look again in a minute.',
  ok: 'Your conferences follow your calendar. You need not do anything.',
  polled:
    'Your conferences follow your calendar, with some delay: this calendar cannot be watched.',
  broken: 'Your conferences do not follow your calendar at the moment.',
};

/**
 * The manifest names this function as the home page of the add-on.
 * https://developers.google.com/workspace/add-ons/concepts/homepages
 *
 * @return {GoogleAppsScript.Card_Service.Card[]}
 */
function showStatus() {
  return [statusCard_(calendarState_(ownCalendar_()).sentence)];
}

/** The button "Look again". */
function refreshStatus() {
  return replaceCard_(statusCard_(calendarState_(ownCalendar_()).sentence));
}

/** The button "Switch", which only an add-on shows that had a sync of its own. */
function switchFromCard() {
  return replaceCard_(
    statusCard_(
      switchCalendars()
        .map((outcome) => `${outcome.calendar_id}: ${outcome.reason}`)
        .join('\n'),
    ),
  );
}

/**
 * Starts one calendar here if it is not started, and says how it is. Safe to repeat.
 *
 * @param {string} calendarId
 * @return {CalendarState} `status` is null where the answer names none
 */
function calendarState_(calendarId) {
  const { body, problem } = ask_({ calendar_id: calendarId });
  if (problem) {
    return { status: null, sentence: problem.sentence };
  }
  const known = /** @type {CalendarStatus[]} */ (Object.keys(STATUS_SENTENCES));
  const status = known.find((each) => each === body.status);
  if (!status || text_(body.calendar_id).toLowerCase() !== calendarId.toLowerCase()) {
    return { status: null, sentence: SENTENCES.UNKNOWN };
  }
  return { status, sentence: `${STATUS_SENTENCES[status]} ${text_(body.reason)}`.trim() };
}

/** @return {string} the id of the person's main calendar, which is the person's address */
function ownCalendar_() {
  return Session.getEffectiveUser().getEmail();
}

/**
 * @param {string} sentence
 * @return {GoogleAppsScript.Card_Service.Card}
 */
function statusCard_(sentence) {
  const section = CardService.newCardSection()
    .addWidget(CardService.newTextParagraph().setText(sentence))
    .addWidget(button_('Look again', 'refreshStatus'));
  if (ADDON.switch) {
    section.addWidget(button_('Switch', 'switchFromCard'));
  }
  return CardService.newCardBuilder()
    .setHeader(CardService.newCardHeader().setTitle(ADDON.name))
    .addSection(section)
    .build();
}

/**
 * @param {string} label
 * @param {string} functionName
 * @return {GoogleAppsScript.Card_Service.TextButton}
 */
function button_(label, functionName) {
  return CardService.newTextButton()
    .setText(label)
    .setOnClickAction(CardService.newAction().setFunctionName(functionName));
}

/**
 * @param {GoogleAppsScript.Card_Service.Card} card
 * @return {GoogleAppsScript.Card_Service.ActionResponse}
 */
function replaceCard_(card) {
  return CardService.newActionResponseBuilder()
    .setNavigation(CardService.newNavigation().updateCard(card))
    .build();
}

/**
 * For the developer, run once in the editor: logs what SYNC_ADDON_AUDIENCES and SYNC_ADDON_DOMAINS
 * must hold, from the developer's own ID token. Logs no token.
 */
function logAudience() {
  const payload = (identityToken_() || '').split('.')[1] || '';
  const bytes = Utilities.base64DecodeWebSafe(payload);
  const claims = parseObject_(Utilities.newBlob(bytes).getDataAsString());
  console.info(`audience: ${text_(claims?.aud)}, domain: ${text_(claims?.hd)}`);
}
