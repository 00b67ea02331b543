// Images and sounds that go along with a question: picked, pasted or dropped.

const LARGEST_EDGE = 2048; // Pixels; models see less than that.
const SOUNDS = { "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3" };

/** A file as it is kept in a conversation: `{kind, name, url, format}`; null for what no model takes. */
export async function attachmentOf(file) {
  if (file.type.startsWith("image/")) {
    return { kind: "image", name: file.name, url: await imageUrl(file) };
  }
  const format = SOUNDS[file.type];
  return format ? { kind: "sound", name: file.name, url: await dataUrl(file), format } : null;
}

async function imageUrl(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    return dataUrl(file); // The engine may know what the browser does not.
  }
  const scale = LARGEST_EDGE / Math.max(image.width, image.height);
  if (scale >= 1 && /^image\/(png|jpeg)$/.test(file.type)) {
    return dataUrl(file);
  }
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.width * Math.min(1, scale));
  canvas.height = Math.round(image.height * Math.min(1, scale));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL(file.type === "image/png" ? "image/png" : "image/jpeg", 0.9);
}

/** A file as a data URL. */
export function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
