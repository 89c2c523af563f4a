// Surveys the visible content of the page; `survey.rs` reads it. With a key it returns the position of that control instead, scrolled into view: `{x, y, free}`, or null.
((peoplesWords, wanted) => {
  'use strict';
  const MOST = 300, ICONS = '.google-symbols, .google-material-icons, .material-icons-extended, svg, style, script, noscript, template';
  const peoples = peoplesWords.join(', ');
  const clean = text => text.replace(/\s+/g, ' ').trim().slice(0, MOST);
  const isShown = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const size = element => element.getBoundingClientRect();
  const dialogs = [...document.querySelectorAll('[role=dialog], [role=alertdialog], [aria-modal=true], dialog[open]')]
    .filter(it => isShown(it) && size(it).width > 1 && size(it).height > 1 && !it.parentElement.closest('[role=dialog], [role=alertdialog], [aria-modal=true], dialog'));

  const lines = (root, skips) => {
    const found = [];
    let line = '', nodes = 0;
    const end = () => { line = clean(line); if (line && found.length < MOST) found.push(line); line = ''; };
    const walk = node => {
      if (++nodes > 20000) return;
      if (node.nodeType === Node.TEXT_NODE) { line += node.data; return; }
      if (node.nodeType !== Node.ELEMENT_NODE && node !== root) return;
      const isElement = node.nodeType === Node.ELEMENT_NODE;
      if (isElement && node !== root && (node.matches(ICONS) || skips(node) || !isShown(node))) return;
      const isBlock = isElement && !getComputedStyle(node).display.startsWith('inline');
      if (isBlock) end();
      if (node.shadowRoot) walk(node.shadowRoot);
      node.childNodes.forEach(walk);
      if (isBlock) end();
    };
    walk(root);
    end();
    return found;
  };
  const nameOf = element => {
    const label = element.getAttribute('aria-label');
    if (label && label.trim()) return clean(label);
    const by = (element.getAttribute('aria-labelledby') || '').split(/\s+/).filter(Boolean).map(id => document.getElementById(id)).filter(Boolean);
    if (by.length) return clean(by.map(it => it.textContent).join(' '));
    if (element.labels && element.labels.length) return clean([...element.labels].map(it => it.textContent).join(' '));
    const words = node => [...node.childNodes].map(child => {
      if (child.nodeType === Node.TEXT_NODE) return child.data;
      if (child.nodeType !== Node.ELEMENT_NODE || child.matches(ICONS) || child.getAttribute('aria-hidden') === 'true') return '';
      return ' ' + words(child) + ' ';
    }).join('');
    const text = element.matches('input, textarea, [contenteditable]') ? '' : clean(words(element));
    const own = text || clean(element.getAttribute('placeholder') || element.getAttribute('title') || element.getAttribute('data-placeholder') || '');
    // A field may have its name on a surrounding element.
    return own || (element.matches('[contenteditable]') ? clean(element.closest('[aria-label]')?.getAttribute('aria-label') || '') : '');
  };
  const FIELDS = 'input:not([type=button]):not([type=submit]):not([type=checkbox]):not([type=radio]):not([type=hidden]), textarea, [contenteditable]:not([contenteditable=false]), [role=textbox]';
  const counts = new Map();
  const all = [...document.querySelectorAll(`button, [role=button], input[type=submit], input[type=button], ${FIELDS}`)].slice(0, 400).map(element => {
    const isField = element.matches(FIELDS), name = nameOf(element), kind = `${isField}|${name}`;
    const count = (counts.get(kind) || 0) + 1;
    counts.set(kind, count);
    return { element, isField, name, key: `${kind}|${count}` };
  });
  const middle = element => {
    const { left, top, width, height } = size(element);
    return [left + width / 2, top + height / 2];
  };
  const isOutside = ([x, y]) => x < 0 || y < 0 || x >= innerWidth || y >= innerHeight;
  // A control outside of the viewport counts as free until it is scrolled into view.
  const isFree = element => {
    const at = middle(element);
    if (isOutside(at)) return true;
    const hit = document.elementFromPoint(...at);
    return Boolean(hit && element.contains(hit));
  };

  if (wanted) {
    const found = all.find(({ key }) => key === wanted);
    if (!found) return null;
    const { element } = found;
    if (isOutside(middle(element))) element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const [left, top] = middle(element);
    return { x: left, y: top, free: isFree(element) };
  }
  const headings = [...document.querySelectorAll('h1, h2, h3, [role=heading]')].filter(it => isShown(it) && !it.closest(peoples));
  const isDialog = node => dialogs.includes(node);
  const isPeoples = node => node.matches(peoples);
  return {
    host: location.host,
    path: location.pathname,
    headings: headings.map(it => clean(it.textContent)).filter(Boolean).slice(0, 40),
    lines: document.body ? lines(document.body, node => isDialog(node) || isPeoples(node)) : [],
    dialogs: dialogs.map(it => ({ lines: lines(it, isPeoples) })),
    controls: all.map(({ element, isField, name, key }) => {
      const { width, height } = size(element);
      const place = dialogs.findIndex(dialog => dialog.contains(element));
      return {
        key, isField, name,
        value: isField ? clean(element.value ?? element.textContent ?? '') : '',
        disabled: Boolean(element.disabled) || element.getAttribute('aria-disabled') === 'true',
        shown: width > 1 && height > 1 && isShown(element),
        free: isFree(element),
        dialog: place < 0 ? null : place,
        accepts: element.getAttribute('data-mdc-dialog-action') === 'ok',
      };
    }),
    frames: [...document.querySelectorAll('iframe')].filter(isShown).slice(0, 40).map(it => {
      const { width, height } = size(it);
      return { address: String(it.src).split(/[?#]/)[0].slice(0, MOST), width: Math.round(width), height: Math.round(height) };
    }),
  };
})
