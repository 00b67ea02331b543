// The playground's speech: a text, to be listened to.

import { gettext } from "../texts.js";
import { send, setUpForm } from "../playground/try.js";

const voices = document.getElementById("voices");
const model = document.getElementById("model");

async function listVoices() {
  // Asking an engine that is not loaded would load it.
  if (model.selectedOptions[0]?.dataset.state !== "ready") {
    return;
  }
  const reply = await fetch(`/v1/audio/voices?model=${encodeURIComponent(model.value)}`);
  const told = reply.ok ? await reply.json() : {};
  voices.replaceChildren(
    ...(told.voices ?? []).map((voice) => new Option(voice.name ?? voice.id ?? voice, voice.id ?? voice.name ?? voice)),
  );
}

setUpForm(async (values, signal) => {
  const { model: name, input, voice } = values;
  const reply = await send("/v1/audio/speech", { model: name, input, ...(voice ? { voice } : {}) }, signal);
  const sound = document.createElement("audio");
  sound.controls = true;
  sound.src = URL.createObjectURL(await reply.blob());
  sound.setAttribute("aria-label", gettext("What was spoken"));
  sound.play().catch(() => {}); // Browsers may want a press of its own button.
  return { parts: [sound], about: gettext("Spoken") };
});

model.addEventListener("change", listVoices);
listVoices().catch(() => {}); // Then the field stays free.
