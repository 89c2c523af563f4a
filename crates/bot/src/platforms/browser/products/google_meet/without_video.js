// Switches incoming video off in the page's settings ("Incoming video is set to audio only"), before the page reads them: it then requests none, which saves
// most of the processor time and of the network. Public projects found the place of the setting (2026); if the page moves it, video is received, but not recorded.
(() => {
  'use strict';
  if (window !== window.top || location.hostname !== 'meet.google.com') return;
  const KEY = 'meet-preferences', LIST = 8, PLACE = 5;
  try {
    let preferences = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    if (!Array.isArray(preferences)) preferences = [];
    while (preferences.length <= LIST) preferences.push(null);
    const list = Array.isArray(preferences[LIST]) ? preferences[LIST] : [];
    while (list.length <= PLACE) list.push(null);
    list[PLACE] = 1;
    preferences[LIST] = list;
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch { /* The page has no store, or something else in it: it keeps its own settings. */ }
})();
