// Tabs over sections that stand one below the other without JavaScript.
//
//   <div data-tabs><div class="tabs"><a href="#a">A</a><a href="#b">B</a></div>
//     <section id="a">…</section><section id="b">…</section></div>

function show(box, name, focus = false) {
  for (const tab of tabsOf(box)) {
    const isShown = tab.hash === name;
    tab.setAttribute("aria-selected", String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
    document.querySelector(tab.hash).hidden = !isShown;
    if (isShown && focus) {
      tab.focus();
    }
  }
}

const tabsOf = (box) => [...box.querySelectorAll(":scope > .tabs > a")];

function setUp(box) {
  const tabs = tabsOf(box);
  box.querySelector(".tabs").setAttribute("role", "tablist");
  for (const tab of tabs) {
    const panel = document.querySelector(tab.hash);
    tab.setAttribute("role", "tab");
    tab.id ||= `tab-${panel.id}`;
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.tabIndex = 0;
  }
  const named = tabs.find((tab) => tab.hash === location.hash);
  show(box, (named ?? tabs[0]).hash);
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  const box = tab?.closest("[data-tabs]");
  if (box) {
    event.preventDefault();
    show(box, tab.hash);
    history.replaceState(null, "", tab.hash);
  }
});

document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[role=tab]");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (tab && step) {
    const tabs = tabsOf(tab.closest("[data-tabs]"));
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    show(tab.closest("[data-tabs]"), next.hash, true);
  }
});

export function setUpTabs() {
  document.querySelectorAll("[data-tabs]:not([data-tabs-ready])").forEach((box) => {
    box.dataset.tabsReady = "";
    setUp(box);
  });
}

setUpTabs();
document.addEventListener("refreshed", setUpTabs);
