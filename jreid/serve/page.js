// Sends the chosen image to POST /search and shows what was found.
"use strict";

const at = (id) => document.getElementById(id);
const [form, drop, file, preview, hits] = ["form", "drop", "file", "preview", "hits"].map(at);
let query = null; // the chosen image
let running = null; // aborts the request that is running

function say(status, error = "") {
  at("status").textContent = status;
  at("error").textContent = error;
}

// Without the hits of an earlier query, which would look like those of this one.
function clear(error = "") {
  hits.replaceChildren();
  hits.removeAttribute("aria-busy");
  say("", error);
}

function choose(image) {
  if (!image) return;
  clear();
  query = image;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(image);
  preview.alt = `Query: ${image.name}`;
  preview.hidden = false;
  search();
}

async function search() {
  running?.abort();
  if (!query) return say("", "Choose an image first.");
  if (!at("top").reportValidity()) return clear();
  const most = form.dataset.maxMebibytes;
  if (query.size > most * 2 ** 20) return clear(`The image has more than ${most} MiB.`);
  const mine = (running = new AbortController());
  say("Searching…");
  hits.setAttribute("aria-busy", "true");
  try {
    const modality = new FormData(form).get("modality");
    const answer = await fetch(`search?modality=${modality}&top=${at("top").value}`, {
      method: "POST",
      body: query,
      headers: { "Content-Type": query.type || "image/unknown" },
      signal: mine.signal,
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail);
    show(found);
  } catch (error) {
    if (mine.signal.aborted) return;
    return clear(error instanceof TypeError ? "The server does not answer." : error.message);
  }
  hits.removeAttribute("aria-busy");
}

function show(found) {
  const total = found.gallery_images.toLocaleString("en");
  say(
    `${query.name}, ${found.modality}: the ${found.hits.length} nearest of ${total} ` +
      `${found.gallery_modality} images. The number is the cosine similarity, -1 to 1.`,
  );
  hits.replaceChildren(...found.hits.map(item));
}

function item(hit) {
  const image = element("img", { src: hit.thumbnail, alt: "", loading: "lazy" });
  image.onerror = () => image.replaceWith(element("span", { textContent: "cannot be read" }));
  const score = element("span", { className: "score" });
  score.append(
    element("b", { textContent: `${hit.rank}` }),
    element("span", { textContent: hit.similarity.toFixed(3) }),
  );
  const row = element("li", {});
  const name = element("span", { className: "name" });
  for (const part of hit.name.split(/(?<=\/)/)) name.append(part, element("wbr", {}));
  row.append(image, score, name);
  return row;
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
file.addEventListener("change", () => choose(file.files[0]));
for (const radio of form.elements.modality) {
  radio.addEventListener("change", () => query && search());
}
// The whole page takes drops: a browser would else open the image in place of the page.
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => choose(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
