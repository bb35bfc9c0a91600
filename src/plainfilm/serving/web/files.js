// Films in, tables and pictures out. Nothing is kept.

/** Return {path, file} of everything dropped, folders with all that is in them; hidden files stay out. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return chosen(transfer.files);
  return (await Promise.all(entries.map(within))).flat();
}

/** The same for files from a file input. */
export const chosen = (files) =>
  [...files].filter((file) => !hidden(file.name)).map((file) => ({ file, path: file.webkitRelativePath || file.name }));

const hidden = (name) => name.startsWith(".");
const promised = (start) => new Promise((resolve, reject) => start(resolve, reject));

async function within(entry) {
  if (hidden(entry.name)) return [];
  if (entry.isFile) return [{ file: await promised((...ends) => entry.file(...ends)), path: entry.fullPath.slice(1) }];
  const reader = entry.createReader();
  const found = [];
  for (let more = [entry]; more.length; found.push(...more)) {
    more = await promised((...ends) => reader.readEntries(...ends)); // a hundred at a time
  }
  return (await Promise.all(found.map(within))).flat();
}

export function save(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // once the download has begun
}

/** Return a PNG (Blob) of a picture with lines of text below it: what it shows can't get lost on the way. */
export function captioned(picture, lines) {
  const size = Math.max(12, Math.round(picture.width / 42));
  const step = Math.round(size * 1.5);
  const width = Math.max(picture.width, 560);
  const height = picture.height + step * (lines.length + 1);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, (width - picture.width) / 2, 0);
  lines.forEach((line, i) => {
    context.font = `${i ? 400 : 700} ${size}px system-ui, sans-serif`;
    context.fillStyle = i ? "#c3ccd6" : "#ffffff";
    context.fillText(line, size, picture.height + step * (i + 1), width - 2 * size);
  });
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
