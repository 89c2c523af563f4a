// Covers the page for a screenshot: text becomes bars, pictures and frames become empty. Only the given words stay readable, and not within people's
// texts (`peoplesWords`, selectors). A style sheet does it, so that elements added before the screenshot are covered too.
((words, peoplesWords) => {
  'use strict';
  const clear = 'color: transparent !important; -webkit-text-fill-color: transparent !important; text-shadow: none !important; -webkit-text-stroke: 0 !important; background-image: none !important; border-image: none !important; list-style-image: none !important;';
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    *, *::before, *::after, *::first-letter, *::first-line, *::marker, *::placeholder, *::backdrop, *::selection { ${clear} }
    img, picture, video, canvas, iframe, object, embed, svg, math { visibility: hidden !important; }
    ::highlight(covered) { color: transparent; -webkit-text-fill-color: transparent; background-color: #9aa0a6; }
    ::highlight(kept) { color: #000000; -webkit-text-fill-color: #000000; background-color: #fff475; }`);
  const escape = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = word => escape(word.trim()).replace(/\s+/g, '\\s+').replace(/['\u2018\u2019]/g, "['\u2018\u2019]");
  const patterns = words.map(word => new RegExp(`(?<![\\p{L}\\p{N}])${pattern(word)}(?![\\p{L}\\p{N}])`, 'giu'));
  const peoples = peoplesWords.join(', ');
  const covered = new Highlight(), kept = new Highlight();
  kept.priority = 1;
  const range = (node, from, to) => {
    const made = new Range();
    made.setStart(node, from);
    made.setEnd(node, to);
    return made;
  };
  const cover = root => {
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
    const nodes = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) {
      const node = nodes.currentNode;
      if (node.nodeType === Node.ELEMENT_NODE) {
        if (node.shadowRoot) cover(node.shadowRoot);
        continue;
      }
      if (!node.data.trim()) continue;
      covered.add(range(node, 0, node.length));
      if (node.parentElement?.closest(peoples)) continue;
      for (const found of patterns.flatMap(words => [...node.data.matchAll(words)])) kept.add(range(node, found.index, found.index + found[0].length));
    }
  };
  cover(document);
  CSS.highlights.set('covered', covered);
  CSS.highlights.set('kept', kept);
  return true;
})
