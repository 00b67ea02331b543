// The playground's transcription: a file, or what one says into the microphone, as text.

import { gettext } from "../texts.js";
import { toast } from "../toast.js";
import { Refusal } from "../playground/asking.js";
import { paragraph, send, setUpForm } from "../playground/try.js";
import { asWav } from "../playground/wav.js";

const button = document.querySelector("[data-act=record]");
const heard = document.getElementById("heard");
const picker = document.getElementById("file");

let recorded = null;
let recorder = null;

async function record() {
  let stream;
  try {
    // Absent where a page of another machine comes without HTTPS.
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    toast(gettext("The browser gives no microphone. It needs your leave, and HTTPS when this server is another machine."), "bad");
    return;
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  recorder.addEventListener("stop", async () => {
    stream.getTracks().forEach((track) => track.stop());
    recorder = null;
    show(false);
    recorded = await asWav(new Blob(pieces));
    picker.value = "";
    listen(recorded);
  });
  recorder.start();
  show(true);
}

function show(isRecording) {
  button.setAttribute("aria-pressed", String(isRecording));
  button.lastElementChild.textContent = isRecording ? gettext("Stop recording") : gettext("Record");
}

function listen(file) {
  URL.revokeObjectURL(heard.src);
  heard.src = URL.createObjectURL(file);
  heard.hidden = false;
}

button.addEventListener("click", () => (recorder ? recorder.stop() : record()));
picker.addEventListener("change", () => {
  recorded = null;
  if (picker.files[0]) {
    listen(picker.files[0]);
  }
});

setUpForm(async ({ model, language }, signal) => {
  const file = recorded ?? picker.files[0];
  if (!file) {
    throw new Refusal(400, { message: gettext("Choose a file, or record something.") });
  }
  const form = new FormData();
  form.set("model", model);
  if (language.trim()) {
    form.set("language", language.trim());
  }
  form.set("file", file);
  const told = await (await send("/v1/audio/transcriptions", form, signal)).json();
  return { parts: [paragraph(told.text.trim() || gettext("Nothing was understood."), "preserve")], about: gettext("Written down") };
});
