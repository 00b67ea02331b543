// config.yaml: the column of line numbers follows what is written, and marks the line that is wrong.

const find = (id) => document.getElementById(id);

/** Numbers for every line, the bad line marked; 0 for none. */
function number(line) {
  const text = find("id_text");
  const column = document.querySelector(".editor-numbers");
  const count = text.value.split("\n").length;
  const bad = Math.min(line, count); // What is missing at the end is missed one line below it.
  const numbers = Array.from({ length: count }, (_, at) => at + 1);
  text.rows = count;
  if (!bad) {
    column.textContent = numbers.join("\n");
    return;
  }
  const mark = document.createElement("mark");
  mark.id = "bad-line";
  mark.textContent = String(bad);
  const before = numbers.slice(0, bad - 1).map((one) => `${one}\n`);
  const after = numbers.slice(bad).map((one) => `\n${one}`);
  column.replaceChildren(before.join(""), mark, after.join(""));
}

const badLine = () => Number(find("verdict").dataset.line ?? 0);

function show(id) {
  find(id)?.scrollIntoView({ block: "center" });
}

document.addEventListener("input", ({ target }) => {
  if (target.id === "id_text") {
    number(badLine());
    find("outlook").replaceChildren(); // What was looked at is not what would be saved any more.
  }
});

document.addEventListener("htmx:afterSwap", ({ target }) => {
  if (target.id === "verdict") {
    number(badLine());
    find("id_text").setAttribute("aria-invalid", String(Boolean(badLine())));
  }
});

// The answer to a look at what would change: on to what is to be read next.
document.addEventListener("refreshed", () => {
  if (find("id_text")) {
    number(badLine());
    show(badLine() ? "bad-line" : "save-text");
  }
});

if (find("id_text")) {
  number(badLine());
}
