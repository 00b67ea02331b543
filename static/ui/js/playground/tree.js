// A conversation: messages that know the one before them, so that a changed or repeated one begins a
// branch and nothing is lost (pure).
//
//   {id, title, changed, system, threads: [{lane, model, leaf}], nodes: {id: node}}
//
// A thread is what one model is told; two models side by side are two threads. Each has its lane:
// messages of one lane never follow on those of another.

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");

/** A conversation without messages. */
export function begin(model, now = Date.now()) {
  return { id: newId(), title: "", changed: now, system: "", threads: [threadOf(model)], nodes: {} };
}

/** A thread without messages. */
export const threadOf = (model) => ({ lane: newId(), model, leaf: null });

/** Add a message at the end of a thread; gives its node. */
export function add(conversation, thread, message) {
  const node = { id: newId(), parent: thread.leaf, lane: thread.lane, at: Date.now(), ...message };
  conversation.nodes[node.id] = node;
  thread.leaf = node.id;
  return node;
}

/** The messages of a thread, the first one first. */
export function path({ nodes }, { leaf }) {
  const found = [];
  for (let node = nodes[leaf]; node; node = nodes[node.parent]) {
    found.unshift(node);
  }
  return found;
}

/** The messages that stand in one place, the oldest first: those a person can change between. */
export function versions({ nodes }, node) {
  return Object.values(nodes).filter(
    ({ parent, lane, role }) => parent === node.parent && lane === node.lane && role === node.role,
  );
}

/** Have a thread go through the version `step` places on, and to the newest end after it. */
export function turnTo(conversation, thread, node, step) {
  const all = versions(conversation, node);
  const there = all[(all.indexOf(node) + step + all.length) % all.length];
  thread.leaf = endAfter(conversation, there).id;
}

function endAfter(conversation, node) {
  const next = Object.values(conversation.nodes).filter(({ parent }) => parent === node.id);
  return next.length ? endAfter(conversation, next.at(-1)) : node;
}

/** Give a conversation a further thread that has heard what `thread` has until now. */
export function compare(conversation, thread, model) {
  const other = threadOf(model);
  conversation.threads.push(other);
  for (const { id, parent, lane, at, ...message } of path(conversation, thread)) {
    add(conversation, other, message);
  }
  return other;
}

/** A new conversation that has everything until this message. */
export function branchOff(conversation, thread, node) {
  const fresh = begin(thread.model);
  Object.assign(fresh, { title: conversation.title, system: conversation.system });
  for (const { id, parent, lane, at, ...message } of path(conversation, { leaf: node.id })) {
    add(fresh, fresh.threads[0], message);
  }
  return fresh;
}

/** A title for a conversation that has none: how its first question begins. */
export function titleOf({ nodes }) {
  const first = Object.values(nodes).find(({ role }) => role === "user");
  const text = first?.text.trim().replace(/\s+/g, " ") ?? "";
  return text.length > 60 ? `${text.slice(0, 57).trimEnd()}…` : text;
}
