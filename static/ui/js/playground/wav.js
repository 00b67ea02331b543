// Recorded sound as a WAV file: what every engine that hears understands (pure but for the decoder).

const RATE = 16_000; // Samples a second; what speech recognisers are trained on.

/** Samples between -1 and 1 as a mono WAV file of 16 bits. */
export function wavOf(samples, rate = RATE) {
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, at) => view.setInt16(44 + at * 2, Math.max(-1, Math.min(1, sample)) * 0x7fff, true));
  return view.buffer;
}

/** What a browser recorded, as a WAV file. */
export async function asWav(blob) {
  const data = await blob.arrayBuffer();
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(data);
  const context = new OfflineAudioContext(1, Math.ceil(sound.duration * RATE), RATE);
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  source.connect(context.destination);
  source.start();
  const mixed = await context.startRendering();
  return new File([wavOf(mixed.getChannelData(0))], "recording.wav", { type: "audio/wav" });
}
