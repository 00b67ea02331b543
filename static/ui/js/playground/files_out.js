// Conversations as files to take along.

import { path } from "./tree.js";

/** A conversation as Markdown: what is seen of it, thread by thread. */
export function asMarkdown(conversation) {
  const parts = [`# ${conversation.title}`];
  if (conversation.system.trim()) {
    parts.push(`> ${conversation.system.trim().replaceAll("\n", "\n> ")}`);
  }
  for (const thread of conversation.threads) {
    if (conversation.threads.length > 1) {
      parts.push(`# ${thread.model}`);
    }
    parts.push(...path(conversation, thread).map(spoken));
  }
  return `${parts.join("\n\n")}\n`;
}

function spoken({ role, text, model, files = [], calls = [] }) {
  const who = role === "user" ? "You" : model;
  const added = files.map(({ name }) => `*${name}*`);
  const called = calls.map((call) => `\`${call.name}(${call.arguments})\``);
  return [`## ${who}`, ...added, text, ...called].filter(Boolean).join("\n\n");
}

/** A file name for a conversation, without its ending. */
export const fileName = ({ title }) =>
  title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60).toLowerCase() || "conversation";

/** Have the browser save a text or bytes as a file. */
export function saveFile(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
