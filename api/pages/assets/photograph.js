
// Search by photograph: one that is dropped, pasted or chosen; its faces, and who of the library each may be.
const F = T.photo;
const MAX_BYTES = 4 << 20, MAX_SIDE = 2400;  // a larger photograph is sent with at most so many pixels a side
const LEAST_SIMILARITY = 0.2, MOST = 8;
const LEAST_LIKELIHOOD = 0.02;  // of those who are listed
const MARGIN = 0.8;  // around a face that is cut out: part of its size, on each side
let photo = null, searches = 0, results = null;  // what is searched for: {file, url}; who was found

function openPhotograph() {
  if ($("photo-title")) {  // the library has changed: names do, and who was merged or erased is no longer there
    if (results) redraw($("results"), () => showResults(results.map(one => ({...one, person: everyone.get(one.person.person_id)})).filter(one => one.person)));
    return;
  }
  const file = make("input", {id: "photo-file", type: "file", accept: "image/*", className: "file", onchange: () => { if (file.files[0]) take(file.files[0]); }});
  $("photograph").replaceChildren(make("h2", {id: "photo-title"}, F.title),
    make("div", {id: "drop", className: "drop"}, make("p", {}, F.drop, " ", make("label", {className: "tool first", htmlFor: "photo-file"}, F.choose), file), make("p", {className: "soft"}, F.about)),
    make("div", {className: "photo"}, make("div", {id: "picture", className: "picture-box"}), make("div", {}, make("p", {id: "photo-state", className: "soft", role: "status"}), make("h3", {id: "results-head", hidden: true}, F.results), make("ol", {id: "results", className: "results", "aria-labelledby": "results-head"}))));
  const drop = $("drop"), over = on => event => { event.preventDefault(); drop.classList.toggle("under", on); };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", event => { over(false)(event); const [dropped] = event.dataTransfer.files; if (dropped) take(dropped); });
}
document.addEventListener("paste", event => { const [pasted] = event.clipboardData.files; if (view === "photograph" && pasted) take(pasted); });

async function take(file) {
  if (!file.size) { refuse(fill(TEXTS.home.noBytes, {name: file.name})); return; }
  if (photo) URL.revokeObjectURL(photo.url);
  const mine = photo = {file, url: URL.createObjectURL(file)}, picture = make("img", {alt: F.alt, src: mine.url});
  $("picture").replaceChildren(picture);
  $("results").replaceChildren();
  const readable = await picture.decode().then(() => true, () => false);
  if (mine !== photo) return;
  if (!readable) $("picture").replaceChildren(make("p", {className: "soft"}, F.unreadable));
  else if (file.size > MAX_BYTES) {
    mine.file = await cut(picture, [0, 0, picture.naturalWidth, picture.naturalHeight], "image/jpeg");
    URL.revokeObjectURL(mine.url);
    picture.src = mine.url = URL.createObjectURL(mine.file);
    await picture.decode();
  }
  const found = await search(mine.file);
  if (!found || mine !== photo) return;
  const boxes = [found.face.bbox, ...found.face.others];
  if (readable) drawBoxes(picture, boxes, boxes.length > 1);
  $("picture").scrollIntoView({block: "nearest"});
  $("photo-state").textContent = boxes.length === 1 ? F.one : fill(F.found, {faces: number(found.face.faces, TEXTS.units.face)});
}
// Frames the faces; where there are several, each is a button that searches for it.
function drawBoxes(picture, boxes, choosable) {
  const {naturalWidth: width, naturalHeight: height} = picture, frames = boxes.map((box, i) => {
    const frame = make(choosable ? "button" : "span", {className: "frame", ...choosable ? {type: "button", "aria-label": fill(F.face, {n: i + 1, total: boxes.length}), "aria-pressed": String(!i)} : {"aria-hidden": "true"}});
    const [left, top, right, bottom] = box;
    Object.assign(frame.style, {left: 100 * left / width + "%", top: 100 * top / height + "%", width: 100 * (right - left) / width + "%", height: 100 * (bottom - top) / height + "%"});
    if (choosable) frame.addEventListener("click", async () => {
      for (const other of frames) other.setAttribute("aria-pressed", String(other === frame));
      await search(i ? await cut(picture, around(box), "image/png") : photo.file);
      $("photo-state").textContent = fill(F.face, {n: i + 1, total: boxes.length}).split(":")[0];
    });
    return frame;
  });
  $("picture").append(...frames);
}
// A part of a picture as a picture of its own, at most MAX_SIDE wide and high.
function cut(picture, [left, top, right, bottom], type) {
  const width = right - left, height = bottom - top, scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const canvas = make("canvas", {width: Math.round(width * scale), height: Math.round(height * scale)});
  canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return new Promise(done => canvas.toBlob(done, type));
}
// A square around a face, with its surroundings: in it the face is the largest.
function around([left, top, right, bottom]) {
  const half = Math.max(right - left, bottom - top) * (0.5 + MARGIN), x = (left + right) / 2, y = (top + bottom) / 2;
  return [x - half, y - half, x + half, y + half];
}
// Searches for the largest face of a picture and shows who it may be; null: that failed, or another search has begun.
async function search(file) {
  const mine = ++searches, state = $("photo-state");
  results = null;
  $("results").replaceChildren();
  $("results-head").hidden = true;
  state.className = "soft";
  state.textContent = F.searching;
  try {
    const found = await requestJson(libraryPath(`/search?limit=${MOST}&threshold=${LEAST_SIMILARITY}`), {method: "POST", headers: {"Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream"}, body: file});
    if (mine !== searches) return null;
    showResults(found.matches.filter(one => one.probability >= LEAST_LIKELIHOOD));
    return found;
  } catch (error) { return mine === searches ? refuse(error instanceof ResponseError ? error.message : unexpected(error)) : null; }
}
function refuse(text) {
  $("photo-state").className = "error";
  $("photo-state").textContent = text;
  return null;
}
function showResults(matches) {
  results = matches;
  $("results-head").hidden = false;
  $("results").replaceChildren(...matches.length ? matches.map(one => make("li", {className: "card"}, portrait(one.person, "face large", ""),
    make("span", {}, make("a", {className: "who", "data-name": one.person.person_id, href: personLink(one.person.person_id)}, called(one.person)), make("b", {className: one.probability >= 0.9 ? "good" : one.probability >= 0.4 ? "fair" : "soft"}, fill(F.is, {words: words(one.probability), percent: percent(one.probability)})),
      make("span", {className: "soft"}, figures(one.person)), make("span", {className: "soft"}, fill(F.similarity, {similarity: one.similarity.toFixed(2)}))))) : [make("li", {className: "soft"}, F.none)]);
}
