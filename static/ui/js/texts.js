// The page's language, from Django's catalogue (/ui/texts.js). Without it, as when the server went
// away while the page was loading, texts stay English.

const plain = (text) => text;
const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));

export const gettext = window.gettext ?? plain;

/** A text with its %(named)s places filled. */
export const interpolate = (text, values) =>
  window.interpolate ? window.interpolate(text, values, true) : fill(text, values);
