// What models write, as safe markup. Nothing of it is fetched: pictures become links.

import { Marked } from "../../../vendor/marked.esm.js";
import { gettext } from "../texts.js";

const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    heading({ tokens, depth }) {
      const level = Math.min(6, depth + 2); // The page has the first two.
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    // Shown as it is written. Only a line break has its effect: in tables there is no other.
    html: ({ text }) => (/^<br\s*\/?>$/i.test(text.trim()) ? "<br>" : escaped(text)),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const SAFE = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["img", "picture", "source", "video", "audio", "style", "form", "input", "button", "select", "textarea", "dialog"],
  FORBID_ATTR: ["style", "id", "name", "class", "tabindex"],
  RETURN_DOM_FRAGMENT: true,
};

const leadsHere = (address) => !URL.canParse(address, document.baseURI) || new URL(address, document.baseURI).origin === location.origin;

let count = 0;

/** A text as a fragment to be put into the page. */
export function markup(text) {
  const made = window.DOMPurify.sanitize(marked.parse(text), SAFE);
  for (const link of made.querySelectorAll("a[href]")) {
    if (leadsHere(link.getAttribute("href"))) {
      // Followed from our own page, `/unload` does what it says.
      link.removeAttribute("href");
      continue;
    }
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  made.querySelectorAll("pre").forEach(frameCode);
  made.querySelectorAll("table").forEach(frameTable);
  return made;
}

function frameCode(pre) {
  const frame = document.createElement("div");
  frame.className = "code";
  const code = pre.querySelector("code") ?? pre;
  code.id = `code-${++count}`;
  pre.tabIndex = 0;
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", gettext("Code"));
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.dataset.copy = code.id;
  button.append(document.createElement("span"));
  button.firstChild.textContent = gettext("Copy");
  pre.replaceWith(frame);
  frame.append(button, pre);
}

function frameTable(table) {
  const frame = document.createElement("div");
  frame.className = "answer-table";
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", gettext("Table"));
  table.replaceWith(frame);
  frame.append(table);
}
