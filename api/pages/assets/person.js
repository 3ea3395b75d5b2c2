
// One person of a library: films, best shots, company; what can be said about the person and each of the faces.
const P = TEXTS.person;
const PER_PAGE = 50, POLL_SECONDS = 4, MAX_SHOTS = 12, MAX_TIMES = 12, TRACK = 1000;  // TRACK: units of the SVG
const rows = new Map(), chosen = new Set();  // rows of films, and chosen ones, by face
let id = lastPart(location.pathname), person = null, films = [], pages = 1, more = false, drawn = "";

async function loadPerson() {
  let answer;
  try { if (!library()) throw Object.assign(new ResponseError(""), {status: 404}); answer = await loadFilms(); } catch (error) {
    if (error.status !== 404) throw error;
    $("person").hidden = true;
    drawn = "";
    throw Object.assign(new ResponseError(P.missing), {status: 404});
  }
  ({person} = answer);
  if (person.person_id !== id) {  // merged into another one
    id = person.person_id;
    history.replaceState(null, "", personLink(id));
  }
  films = answer.films;
  more = answer.next !== null;
  draw();
  const company = await requestJson(`${personPath(id)}/together?limit=48`);
  drawCompany(company);
}
async function loadFilms() {
  let found = [], after = "", page = null;
  for (let n = 0; n < pages && after !== null; n++) {
    page = await requestJson(`${personPath(id)}/appearances?limit=${PER_PAGE}${afterThat(after)}`);
    found = found.concat(page.films);
    after = page.next;
  }
  return {person: page.person, films: found, next: after};
}

function draw() {
  const state = JSON.stringify([person, films]);
  if (state === drawn) return;
  drawn = state;
  document.title = `${called(person)} · ${TEXTS.shell.name}`;
  $("back").href = inLibrary("people");
  $("person").hidden = false;
  const shot = $("shot").firstChild;
  if (!shot || shot.dataset.of !== String(person.portrait)) {
    const picture = portrait(person, "shot", undefined, WIDEST);
    picture.dataset.of = String(person.portrait);
    $("shot").replaceChildren(picture);
  }
  drawName();
  $("figures").textContent = [number(person.films, TEXTS.units.film), figure(person), ...person.seconds ? [number(person.detections, TEXTS.units.detection)] : []].join(" · ");
  $("hidden-note").hidden = !person.hidden;
  $("hide").textContent = person.hidden ? P.show : P.hide;
  const shots = [...films].sort((a, b) => b.detections - a.detections).slice(0, MAX_SHOTS);
  $("shots-part").hidden = films.length < 2;
  $("shots").replaceChildren(...shots.map(one => make("li", {}, make("a", {href: filmLink(one, start(one)), "aria-label": fill(P.openAt, {film: fileName(one.source), time: placeOf(start(one), one)})}, facePicture(libraryPath("/" + one.thumbnail), "", "shot", 104)))));
  drawFilms();
  drawExports();
}
// Where a face is first seen: a time, or of an album the place of a picture, from 0, as the page of the film has it.
const start = one => one.pictures.length ? one.pictures[0] - 1 : one.appearances.length ? one.appearances[0].start : 0;
const placeOf = (time, one) => one.pictures.length ? fill(TEXTS.film.picture, {n: time + 1}) : formatTime(time);
function drawName() {
  const text = person.label || (may("submit") ? T.addName : T.unnamed), button = $("name").querySelector("button.name");
  if (button && button.dataset.text === text || $("name").querySelector("form")) return;
  const name = make("button", {type: "button", className: person.label ? "name" : "name none", "aria-label": person.label ? fill(T.rename, {name: person.label}) : fill(T.nameFor, {figures: figures(person)}),
    onclick: () => editName(name, person, () => { drawName(); $("name").querySelector("button").focus(); })}, make("span", {}, text), pencil());
  name.disabled = !may("submit");
  name.dataset.text = text;
  const focused = button && document.activeElement === button;
  $("name").replaceChildren(name);
  if (focused) name.focus();
}
const pencil = () => makeSvg("svg", {viewBox: "0 0 16 16", "aria-hidden": "true"}, makeSvg("path", {d: "M11 2.5l2.5 2.5L5.5 13l-3 .5.5-3zM9.5 4l2.5 2.5"}));

// A row for each film; rows that stay keep their elements, and with them the focus.
function drawFilms() {
  const list = $("films"), focused = document.activeElement, within = list.contains(focused);
  for (const face of rows.keys()) if (!films.some(one => one.face_id === face)) { rows.get(face).remove(); rows.delete(face); chosen.delete(face); }
  films.forEach((one, place) => {
    const before = rows.get(one.face_id), state = JSON.stringify(one);
    if (!before || before.dataset.state !== state) {
      const row = filmRow(one);
      row.dataset.state = state;
      if (before) before.replaceWith(row);
      rows.set(one.face_id, row);
    }
    const row = rows.get(one.face_id);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null);
    row.querySelector(".not").hidden = films.length < 2 && !more;
  });
  if (within && !list.contains(document.activeElement)) (list.querySelector("a") || $("back")).focus({preventScroll: true});
  $("more").hidden = !more;
  showChosen();
}
function filmRow(one) {
  const film = fileName(one.source), {evidence} = one;
  const box = make("input", {type: "checkbox", "aria-label": fill(P.choose, {film}), onchange: () => { box.checked ? chosen.add(one.face_id) : chosen.delete(one.face_id); row.classList.toggle("on", box.checked); showChosen(); }});
  const places = one.pictures.length ? one.pictures.map(n => ({start: n - 1, end: n - 1})) : one.appearances;
  const times = places.slice(0, MAX_TIMES).map(seen => {
    const text = seen.end > seen.start ? `${formatTime(seen.start)} – ${formatTime(seen.end)}` : placeOf(seen.start, one);
    return make("a", {className: "time", href: filmLink(one, seen.start), "aria-label": fill(P.openAt, {film, time: text})}, text);
  });
  const row = make("li", {className: "card film"}, make("label", {className: "pick"}, box), facePicture(libraryPath("/" + one.thumbnail), "", "shot", 84),
    make("div", {className: "text"}, make("a", {className: "who", href: filmLink(one, start(one)), title: one.source}, film),
      make("span", {className: "soft"}, figure({...one, pictures: one.pictures.length}) + (one.seconds ? `, ${number(one.detections, TEXTS.units.detection)}` : "")),
      make("span", {className: "soft"}, fill(P.belongs[evidence.by], {likelihood: likelihood(evidence.probability)})),
      one.pictures.length ? null : track(one), make("span", {className: "times"}, ...times, places.length > MAX_TIMES ? make("span", {className: "soft"}, `+ ${places.length - MAX_TIMES}`) : null)),
    make("span", {className: "acts"}, make("button", {type: "button", className: "tool not", "aria-label": fill(P.notThisIn, {film}), onclick: () => leave([one.face_id])}, P.notThis),
      one.detections > 1 ? make("a", {className: "tool", href: filmLink(one, start(one)) + "&choose=1", "aria-label": fill(P.someIn, {film})}, P.some) : null));
  return row;
}
// When the person is in the film, as a bar; the times beside it say the same in words.
function track(one) {
  const end = Math.max(...one.appearances.map(seen => seen.end), one.duration || 1), marks = one.appearances.map(seen => makeSvg("rect", {x: TRACK * seen.start / end, width: Math.max(8, TRACK * (seen.end - seen.start) / end), y: 0, height: 10, rx: 2}));
  return makeSvg("svg", {class: "track", viewBox: `0 0 ${TRACK} 10`, preserveAspectRatio: "none", "aria-hidden": "true"}, ...marks);
}

function drawCompany({together, films: looked, complete}) {
  const list = $("together"), focused = document.activeElement, at = list.contains(focused) ? focused.getAttribute("href") : null, state = JSON.stringify(together);
  if (list.dataset.state === state) return;
  list.dataset.state = state;
  list.replaceChildren(...together.length ? together.map(one => make("li", {className: "card"}, portrait(one.person, "face large", ""), make("span", {},
    make("a", {className: "who", href: personLink(one.person.person_id)}, called(one.person)), make("span", {className: "soft"}, fill(P.common, {films: number(one.films, TEXTS.units.film)})),
    make("span", {className: "soft"}, [one.seconds ? fill(P.same, {time: duration(one.seconds)}) : "", one.pictures ? some(one.pictures, P.samePictures) : ""].filter(Boolean).join(", ") || P.never)))) : [make("li", {className: "soft"}, P.alone)]);
  $("incomplete").textContent = complete ? "" : fill(P.incomplete, {n: looked});
  if (at) { const again = [...list.querySelectorAll("a")].find(node => node.getAttribute("href") === at); if (again) again.focus({preventScroll: true}); }
}

// What can be done with the chosen faces.
const bar = {
  count: make("b", {role: "status"}),
  split: make("button", {type: "button", className: "tool first", onclick: () => leave([...chosen])}, P.split),
  move: make("button", {type: "button", className: "tool", onclick: () => guard(moveChosen())}, P.move),
  clear: make("button", {type: "button", className: "tool quiet", onclick: () => { clearChosen(); $("films").querySelector("input").focus(); }}, T.clear),
};
$("chosen").append(...Object.values(bar));
function showChosen() {
  $("chosen").hidden = !chosen.size;
  document.body.classList.toggle("choosing", chosen.size > 0);
  const all = chosen.size === films.length && !more;
  bar.count.textContent = fill(T.chosen, {n: chosen.size});
  bar.split.disabled = all;
  bar.split.title = all ? P.allLeave : "";
}
function clearChosen() {
  for (const face of chosen) { const row = rows.get(face); if (row) { row.classList.remove("on"); row.querySelector("input").checked = false; } }
  chosen.clear();
  showChosen();
}
async function leave(faces) {
  const answer = await guard(change([{type: "split", person_id: id, faces}], T.did.split));
  if (answer) clearChosen();
}
// The people who look most like a face; none where the result of its job is gone.
async function similarTo(one) {
  try {
    const body = {job_id: one.job_id, face_id: one.face_id.split("/")[1], limit: 12, threshold: 0};
    return (await requestJson(libraryPath("/search"), {method: "POST", headers: JSON_TYPE, body: JSON.stringify(body)})).matches.filter(({person: other}) => other.person_id !== id);
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    return [];
  }
}
const best = () => [...films].sort((a, b) => b.detections - a.detections)[0];
async function moveChosen() {
  const faces = [...chosen], first = films.find(one => one.face_id === faces[0]);
  await loadEveryone();
  const to = await choosePerson(P.moveTitle, await similarTo(first), id);
  if (!to) return;
  const leaving = faces.length === films.length && !more;
  const answer = await change(faces.map(face => ({type: "move", face_id: face, person_id: to.person_id})), fill(T.did.moved, {name: called(to)}));
  if (!answer) return;
  clearChosen();
  if (leaving) location.href = personLink(to.person_id);
}
async function mergeWith() {
  await loadEveryone();
  const other = await choosePerson(P.mergeTitle, films.length ? await similarTo(best()) : [], id);
  if (other) await mergePeople([person, other]);
}
async function erase() {
  if (await dialog(fill(P.eraseTitle, {name: called(person)}), [figureOf(person), make("p", {}, P.eraseHelp)], [["", T.cancel, "first"], ["yes", P.eraseYes, "danger"]]) !== "yes") return;
  await request(personPath(id), {method: "DELETE"});
  location.href = inLibrary("people");
}

// Files to take away: made of what the page has loaded, or fetched, since a link cannot send a key.
const cell = value => /[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
async function allFilms() { pages = Infinity; await loadPerson(); return films; }
async function csv() {
  const lines = [["person_id", "name", "film", "job_id", "face_id", "start_seconds", "end_seconds", "picture", "probability"]];
  for (const one of await allFilms()) {
    const seen = one.pictures.length ? one.pictures.map(n => ["", "", n]) : one.appearances.map(({start, end}) => [start, end, ""]);
    for (const where of seen) lines.push([id, plain(person.label || ""), plain(one.source), one.job_id, one.face_id, ...where, one.evidence.probability]);
  }
  return lines.map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}
const plain = text => /^[=+\-@\t\r]/.test(text) ? "'" + text : text;  // no formula for a spreadsheet
function download(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], {type})), anchor = make("a", {href: url, download: name});
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
function drawExports() {
  const name = (person.label || id).replace(/[^\p{L}\p{N}_-]+/gu, "-"), item = (text, make_) => make("button", {type: "button", className: "item", onclick: event => act(event.target, async () => { await make_(); $("export").open = false; $("export").querySelector("summary").focus(); })}, text);
  if ($("exports").contains(document.activeElement)) return;
  $("exports").replaceChildren(item(P.csv, async () => download(await csv(), name + ".csv", "text/csv")), item(P.json, async () => { const all = await allFilms(); download(JSON.stringify({person, films: all}, null, 1), name + ".json", "application/json"); }),
    ...[...new Map(films.map(one => [one.film_id, one])).values()].filter(one => one.appearances.length).slice(0, 10).map(one => item(fill(P.vtt, {film: fileName(one.source)}), async () => download(await (await request(libraryPath(`/films/${one.film_id}/people.vtt`))).text(), fileName(one.source) + ".vtt", "text/vtt"))));
}
$("export").addEventListener("keydown", event => { if (event.key === "Escape") { $("export").open = false; $("export").querySelector("summary").focus(); } });
document.addEventListener("click", event => { if (!$("export").contains(event.target)) $("export").open = false; });

$("merge").addEventListener("click", () => guard(mergeWith()));
$("hide").addEventListener("click", () => guard(change([{type: "hide", person_id: id, hidden: !person.hidden}], some(1, person.hidden ? T.did.shown : T.did.hidden))));
$("erase").addEventListener("click", () => guard(erase()));
$("more").addEventListener("click", () => act($("more"), async () => { pages++; await loadPerson(); }));
onLibrary(() => { location.href = inLibrary("people"); });
whenChanged = loadPerson;
let seenVersion = "", missing = null;
async function follow() {
  await loadLibraries();
  const now = `${library()} ${versionOf(library())}`;
  if (now !== seenVersion) {
    missing = null;
    try { await Promise.all([loadPerson(), loadEveryone()]); } catch (error) {
      if (error.status !== 404) throw error;
      missing = error;  // who is missing can only come back with a change
    }
    seenVersion = now;
  }
  if (missing) throw missing;
}
startPage("people", async () => { showRights(); $("back").href = link("people"); seenVersion = ""; await follow(); });
repeat(POLL_SECONDS, follow);
