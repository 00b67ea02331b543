// The models page, live.

import { tellAgo } from "./ago.js";
import * as board from "./board.js";
import { showConnection } from "./connection.js";
import "./copy.js";
import { Stream } from "./live.js";
import { refresh } from "./refresh.js";
import { isShownScanning, takeScan } from "./scan.js";

const streams = [];
let readFor = ""; // the models for which the page was read anew last

function takeEvent({ type, data }) {
  if (type !== "modelStatus") {
    return;
  }
  const list = JSON.parse(data);
  board.takeStatuses(list);
  const ids = JSON.stringify(list.map((status) => status.id));
  if (board.isOutdated() && ids !== readFor) {
    readFor = ids;
    refresh();
  }
}

// What a stream told while it was lost is in the page, read anew. So is the end of a scan that
// came between the page and the first event.
function onChange(stream) {
  showConnection(streams);
  if (stream.isOpen && (stream.timesOpened > 1 || isShownScanning())) {
    refresh();
  }
}

document.addEventListener("refreshed", () => {
  board.showAll();
  tellAgo();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-select]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    choose(link);
  }
});

async function choose(link) {
  history.replaceState(null, "", new URL(link.href).search);
  await refresh();
  document.getElementById("call").scrollIntoView({ block: "nearest" });
}

streams.push(
  new Stream("/api/events", { message: takeEvent }, onChange),
  new Stream("/ui/events/", { scan: takeScan, config: refresh }, onChange),
);
showConnection(streams);
tellAgo();
