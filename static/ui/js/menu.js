// The menu of small screens. Without JavaScript its links open and close it by their addresses.

const menu = document.getElementById("navigation");
const opener = document.querySelector('[data-menu="open"]');

function open() {
  menu.dataset.open = "";
  menu.querySelector("a, button").focus();
}

function close() {
  if ("open" in menu.dataset) {
    delete menu.dataset.open;
    opener.focus();
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-menu]");
  if (link) {
    event.preventDefault();
    link.dataset.menu === "open" ? open() : close();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    close();
  }
});

// Whoever tabs out of the open menu has left it.
menu?.addEventListener("focusout", (event) => {
  if (event.relatedTarget && !menu.contains(event.relatedTarget)) {
    delete menu.dataset.open;
  }
});
