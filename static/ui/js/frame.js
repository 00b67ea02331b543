// What every page has. A page's own module imports what it needs of the others.

import { tellAgo } from "./ago.js";
import "./confirm.js";
import "./copy.js";
import { listen } from "./events.js";
import "./forms.js";
import "./htmx.js";
import { tellLocal } from "./local_times.js";
import "./menu.js";
import "./tabs.js";
import "./theme_switch.js";

function tellTimes() {
  tellAgo();
  tellLocal();
}

listen();
tellTimes();
document.addEventListener("refreshed", tellTimes);
