/**
 * For an add-on that had a sync of its own, as Google's sample has: retires that sync.
 *
 * First the calendar is started here and its first sync is over, then the old trigger goes, then
 * the old sync token. Until then the old sync goes on, so no change is lost. Afterwards only one
 * sync is left, so no change is applied twice. Each step is safe to repeat, and the next run
 * completes one that stopped halfway.
 *
 * Apps Script shows a script only its own triggers and properties, so this file belongs into the
 * script project of the old add-on, beside the old code. Needs `switch` in solutions.json.
 */

/**
 * The names in Google's sample. Change them if the old add-on uses others.
 * https://developers.google.com/workspace/add-ons/calendar/conferencing/sync-calendar-changes
 */
const OLD_SYNC = { triggerFunction: 'syncEvents', tokenProperty: 'syncToken' };

/** @typedef {{calendar_id: string, switched: boolean, reason: string}} SwitchOutcome */

/**
 * Retires the old sync of one calendar, if the new one works. Safe to repeat, also when the old
 * sync is gone already.
 *
 * The user's one old sync token may serve several calendars, so it goes with the last old trigger.
 *
 * @param {string} calendarId an address, default the person's main calendar. The service
 *     refuses `primary`
 * @return {SwitchOutcome} for example `{calendar_id: 'ann@example.com', switched: false, reason:
 *     'Nothing was changed: Your calendar is being read for the first time. …'}`
 */
function switchCalendar(calendarId = ownCalendar_()) {
  const { status, sentence } = calendarState_(calendarId);
  if (status !== 'ok' && status !== 'polled') {
    return {
      calendar_id: calendarId,
      switched: false,
      reason: `Nothing was changed: ${sentence}`,
    };
  }
  try {
    // The trigger first: a run of the old sync without its token would apply old changes again.
    for (const trigger of oldTriggers_()) {
      if (trigger.getTriggerSourceId() === calendarId) {
        ScriptApp.deleteTrigger(trigger);
      }
    }
    if (oldTriggers_().length === 0) {
      PropertiesService.getUserProperties().deleteProperty(OLD_SYNC.tokenProperty);
    }
  } catch (error) {
    console.error('The old sync could not be removed', String(error));
    return {
      calendar_id: calendarId,
      switched: false,
      reason:
        'The old sync could not be removed. Try again; if that does not help, tell your ' +
        'administrator that the add-on needs the permission script.scriptapp.',
    };
  }
  return { calendar_id: calendarId, switched: true, reason: `Switched. ${sentence}` };
}

/**
 * Switches all calendars of the person who runs the script: each that has an old trigger, and the
 * main one. Can be run from the editor, and by the button of the home page.
 *
 * @return {SwitchOutcome[]}
 */
function switchCalendars() {
  /** @type {Set<string>} */
  const calendarIds = new Set([ownCalendar_()]);
  try {
    for (const trigger of oldTriggers_()) {
      calendarIds.add(trigger.getTriggerSourceId());
    }
  } catch (error) {
    // switchCalendar says what is missing.
    console.error('The old triggers cannot be read', String(error));
  }
  return [...calendarIds].map((calendarId) => switchCalendar(calendarId));
}

/** @return {GoogleAppsScript.Script.Trigger[]} this user's old ones, no other function's */
function oldTriggers_() {
  return ScriptApp.getProjectTriggers().filter(
    // Only a calendar's trigger has a source here; a clock's has none.
    (trigger) =>
      trigger.getTriggerSourceId() && trigger.getHandlerFunction() === OLD_SYNC.triggerFunction,
  );
}
