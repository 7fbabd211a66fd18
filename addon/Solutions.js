/** Written by build.py from solutions.json. Change that file and run build.py again. */

/** @type {{name: string, createConferenceUrl: string, switch: boolean, solutions: Solution[]}} */
const ADDON = {
  "name": "My Web Conferencing",
  "createConferenceUrl": "https://create-conference.example.com/",
  "switch": false,
  "solutions": [
    {
      "id": "my-web-conference",
      "name": "My Web Conference"
    }
  ]
};

/** @param {CreateArgument} arg */
function createConference_my_web_conference(arg) {
  return createConferenceFor_("my-web-conference", arg);
}
