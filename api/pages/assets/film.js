
// The page of a film: its job, player, people and times.
const POLL_SECONDS = 2, PEOPLE_SECONDS = 3, ENDED_POLL_SECONDS = 30, FOLLOW_SECONDS = 4;  // the last: for how long the result exists
const JOB_ID = lastPart(location.pathname);
const TRACK_WIDTH = 1000;  // units of the SVG
const TILE = 72;  // pixels of a detection in a contact sheet
const SPEEDS = [0.25, 0.5, 1, 1.5, 2];
const DID = "faces-did";  // what was done to a film before its new analysis was opened, with its undo
let dividing = null;  // person of whom the detections are chosen that are somebody else
let job = null, data = null, people = [], chosen = null, peopleAt = 0, started = false, missing = null, seenAt = 0;  // seenAt: when the job was last looked at
let peopleOf = null, newerOf = "";  // versions of the library: of the people that are shown, and when another analysis was looked for

const colourOf = place => `hsl(${(place * 137.5 + 205) % 360} 85% 66%)`;  // the golden angle: neighbours differ
const span = ([from, to]) => from === to ? formatTime(from) : `${formatTime(from)} – ${formatTime(to)}`;
const picturePath = person => person.picture || (job.status === "completed" ? jobPath(job, `/faces/${person.id}/thumbnail`) : "");
const pictureOf = person => person.picture || (job.status === "completed" ? mediaLink(picturePath(person), 2 * TILE) : SILHOUETTE);
const stripOf = person => person.strip || (job.status === "completed" && person.detections.length > 1 && person.place < 100 ? mediaLink(jobPath(job, `/faces/${person.id}/strip`)) : "");
const isAlbum = () => data.metadata.frame_source === "album";  // its pictures have an order, and no times
const isStill = () => isAlbum() || data.metadata.frame_source === "image";
// Where a detection is: its time, or the number of its picture in an album.
const placeOf = row => isAlbum() ? fill(TEXTS.film.picture, {n: row[0] + 1}) : formatTime(row[0]);
const isThere = (person, time) => person.appearances.some(([from, to]) => time >= from - 0.04 && time <= to + 0.04);

function drawHead() {
  const meta = data && data.metadata, summary = job.result_summary;
  fillNode($("title"), ...breakable(filmTitle(job)));
  document.title = `${filmTitle(job)} · ${TEXTS.shell.name}`;
  const facts = [!summary ? "" : summary.unique_faces ? number(summary.unique_faces, TEXTS.units.person) : TEXTS.film.noPeople, summary && summary.total_detections ? number(summary.total_detections, TEXTS.units.detection) : "", meta && meta.sampled_frames ? number(meta.frames_processed, isStill() ? TEXTS.units.picture : TEXTS.units.frame) + " " + TEXTS.film.analysed : "",
    player.duration && !(meta && isAlbum()) ? formatTime(player.duration) : "", lifetime(job)].filter(Boolean);
  $("about").replaceChildren(factsLine(make("span", {className: "state " + job.status}, TEXTS.job[job.status]), ...facts, make("span", {}, TEXTS.job.added + " ", when(job.created_at))),
    factsLine(make("span", {className: "where"}, ...breakable(job.video_path)), job.source_id && fill(TEXTS.job.sourceId, {id: job.source_id}), job.library && fill(TEXTS.film.inLibrary, {library: job.library})));
  redraw($("actions"), () => $("actions").replaceChildren(...job.status === "completed" ? [make("a", {className: "tool small", href: link("watch?jobs=" + encodeURIComponent(job.job_id))}, TEXTS.film.figures)] : [], ...jobButtons(job, did => { if (did === TEXTS.job.removed) location.href = link(""); else return refreshNow(); })));
  $("progress").hidden = hasEnded(job);
  $("bar").value = job.progress;
  $("stage-text").textContent = hasEnded(job) ? "" : job.message;
  $("failure").hidden = !["failed", "cancelled"].includes(job.status);
  $("failure-text").textContent = job.status === "failed" ? job.error : TEXTS.film.cancelled;
  $("failure-hint").textContent = job.status === "failed" ? hint(job.error) : "";
  const warnings = meta ? [...meta.warnings] : [];
  if (meta && meta.failed_frames_count) warnings.push(fill(TEXTS.film.failedFrames, {frames: number(meta.failed_frames_count, TEXTS.units.frame)}));
  $("warnings").replaceChildren(...warnings.map(text => make("p", {className: "soft warning"}, text)));
}

function setPeople(found) {
  data = found;
  people = found.people.map((person, place) => ({...person, place, name: personName(person, place), colour: colourOf(place)}));
  chosen = chosen && people.find(person => person.id === chosen.id) || null;
  const meta = found.metadata;
  player.moments = [...new Set(people.flatMap(person => person.detections.map(row => row[0])))].sort((a, b) => a - b);
  player.fps = meta.fps || 25;
  player.interval = meta.shortest_sure_appearance_seconds || 2;
  player.duration = Math.max(player.duration, meta.duration || 0, found.length);
}

function drawPeople() {
  fillSlowly($("people"), people, person => {
    const picture = facePicture(picturePath(person), ""), seconds = person.appearances.reduce((sum, [from, to]) => sum + to - from, 0);
    picture.style.borderColor = person.colour;
    const facts = person.identifiable === false ? [TEXTS.film.once] : isStill() ? [some(new Set(person.detections.map(row => row[0])).size, TEXTS.people.inPictures)]
      : [number(person.appearances.length, TEXTS.units.time), number(person.detections.length, TEXTS.units.detection), seconds ? fill(TEXTS.film.seconds, {time: formatTime(seconds)}) : ""];
    const button = make("button", {className: "who-button", type: "button", "data-name": "who " + person.id, "aria-pressed": String(person === chosen), onclick: () => choose(person === chosen ? null : person, true)}, picture,
      make("span", {className: "who-text"}, make("span", {className: "who-name"}, make("b", {}, person.name), make("span", {className: "here"}, TEXTS.film.here)), make("span", {className: "soft"}, factsLine(...facts))));
    person.button = button;
    return make("li", {}, button);
  });
  $("nobody").hidden = people.length > 0;
  $("nobody").textContent = !hasEnded(job) ? TEXTS.film.notYet : Object.values(data.metadata.rejected).some(Boolean) ? TEXTS.film.rejected : TEXTS.job.nobody;
  if (chosen) drawChosen(); else $("person").hidden = true;
  drawTimeline();
}

// Shows a person's detections; `go`: also goes to the first of them.
function choose(person, go) {
  chosen = person;
  for (const one of people) if (one.button) one.button.setAttribute("aria-pressed", String(one === chosen));
  if (person) drawChosen(); else $("person").hidden = true;
  if (person && go) player.seek(person.detections[0][0]); else onTime(player.time);
}

function tile(person, place, index) {
  const row = person.detections[index], sheet = stripOf(person), picture = make("img", {src: sheet || pictureOf(person), alt: "", className: sheet ? "cut" : ""});
  if (sheet) picture.style.objectPosition = `${-TILE * place}px 0`;
  return make("button", {className: "tile", type: "button", "data-name": "tile " + index, "aria-label": fill(TEXTS.film.goTo, {time: placeOf(row)}), onclick: () => player.seek(row[0])}, picture, make("span", {}, placeOf(row)));
}

const personPage = person => link(`people/${encodeURIComponent(person.person_id)}?library=${encodeURIComponent(job.library)}`);
function drawChosen() {
  const person = chosen, jump = time => make("button", {className: "tool small", type: "button", onclick: () => player.seek(time[0])}, span(time));
  const page = person.person_id && job.library ? make("a", {id: "person-page", className: "tool small", href: personPage(person)}, TEXTS.film.personPage) : null;
  const shown = person.tiles.length < person.detections.length ? fill(TEXTS.film.some, {n: person.tiles.length, all: person.detections.length}) : number(person.detections.length, TEXTS.units.detection);
  fillNode($("person"), make("div", {className: "head"}, make("h2", {id: "person-name"}, person.name), make("span", {className: "tools"}, naming(person), canDivide(person) ? make("button", {className: "tool small", type: "button", onclick: () => { dividing = person.id; drawChosen(); $("person").querySelector("input[type=checkbox]").focus(); }}, TEXTS.film.divide) : null, page, make("button", {className: "tool small", type: "button", onclick: () => { const {button} = person; choose(null); button.focus(); }}, TEXTS.shell.close))),
    person.identifiable === false ? make("p", {className: "soft warning"}, TEXTS.film.unclearPerson) : null,
    isAlbum() ? null : make("h3", {}, TEXTS.film.appearances), isAlbum() ? null : make("p", {className: "jumps"}, ...person.appearances.slice(0, 60).map(jump), person.appearances.length > 60 ? make("span", {className: "soft"}, fill(TEXTS.home.more, {n: person.appearances.length - 60})) : null),
    ...dividing === person.id && canDivide(person) ? choice(person) : [make("h3", {}, shown), make("div", {className: "tiles"}, ...person.tiles.map((index, place) => tile(person, place, index)))]);
  $("person").hidden = false;
}

// Detections of a person that are somebody else: they are chosen, the library notes them, and the film is analysed again.
const canDivide = person => Boolean(person.person_id && job.library && may("submit") && job.status === "completed" && person.detections.length > 1);
const libraryOf = path => `libraries/${encodeURIComponent(job.library)}${path}`;
function choice(person) {
  const picked = new Set(), boxes = [], count = make("b", {role: "status"}), make_ = make("button", {className: "tool first", type: "button", onclick: () => act(make_, () => divide(person, picked))}, TEXTS.film.divideYes);
  const show = () => {
    boxes.forEach((box, index) => { box.checked = picked.has(index); box.closest("label").classList.toggle("on", box.checked); });
    count.textContent = fill(TEXTS.people.chosen, {n: picked.size});
    make_.disabled = !picked.size || picked.size === person.detections.length;
    make_.title = picked.size === person.detections.length ? TEXTS.film.divideAll : "";
  };
  const cell = (row, index) => {
    const place = person.tiles.indexOf(index), sheet = place >= 0 && stripOf(person), picture = sheet ? make("img", {src: sheet, alt: "", className: "cut"}) : make("span", {className: "blank", "aria-hidden": "true"});
    if (sheet) picture.style.objectPosition = `${-TILE * place}px 0`;
    boxes[index] = make("input", {type: "checkbox", checked: picked.has(index), "aria-label": fill(TEXTS.film.divideAt, {time: placeOf(row)}), onfocus: () => player.seek(row[0]), onchange: event => { event.target.checked ? picked.add(index) : picked.delete(index); show(); }});
    return make("label", {className: "tile"}, picture, make("span", {}, boxes[index], placeOf(row)));
  };
  const run = range => make("button", {className: "tool small", type: "button", onclick: () => {
    const within = person.detections.flatMap((row, index) => row[0] >= range[0] && row[0] <= range[1] ? [index] : []), all = within.every(index => picked.has(index));
    for (const index of within) all ? picked.delete(index) : picked.add(index);
    player.seek(range[0]);
    show();
  }}, span(range));
  const tiles = make("div", {className: "tiles", role: "group", "aria-label": TEXTS.film.divideTitle}), stop = () => { dividing = null; drawChosen(); $("person").querySelector(".tools button").focus(); };
  fillSlowly(tiles, person.detections.map((row, index) => [row, index]), ([row, index]) => cell(row, index));
  show();
  return [make("h3", {}, TEXTS.film.divideTitle), make("p", {className: "soft"}, TEXTS.film.divideHelp),
    isAlbum() || person.appearances.length < 2 ? null : make("p", {className: "jumps", role: "group", "aria-label": TEXTS.film.divideRuns}, ...person.appearances.slice(0, 60).map(run)),
    tiles, make("p", {className: "tools divide"}, count, make_, make("button", {className: "tool", type: "button", onclick: stop}, TEXTS.shell.cancel))];
}
async function divide(person, picked) {
  const {films} = await requestJson(libraryOf(`/people/${encodeURIComponent(person.person_id)}/appearances?limit=1000`));
  const film = films.find(one => one.source === job.video_path);
  if (!film) throw new ResponseError(TEXTS.film.divideGone);
  const spots = [...picked].map(index => person.detections[index]).map(row => ({timestamp: row[0], x: (row[12] + row[14]) / 2, y: (row[13] + row[15]) / 2}));
  await correctFilm({type: "divide", film_id: film.film_id, spots}, TEXTS.film.divided);
}
// Sends a correction that shows when the film is analysed again, and goes to that analysis.
async function correctFilm(change, text) {
  const answer = await request(libraryOf("/corrections"), {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({change})});
  const applied = answer.status === 202 ? {jobs: []} : await answer.json();
  dividing = null;
  if (!applied.jobs.length) { drawChosen(); say(TEXTS.film.dividedLater); return; }
  sessionStorage.setItem(DID, JSON.stringify({job: applied.jobs[0], text, entry: change.type === "undo" ? null : applied.entry_id}));
  location.href = link(`film/${encodeURIComponent(applied.jobs[0])}#t=${player.from()}`);
}
function sayDone() {
  const did = JSON.parse(sessionStorage.getItem(DID) || "null");
  if (!did || did.job !== JOB_ID || job.status !== "completed") return;
  sessionStorage.removeItem(DID);
  say(did.text, did.entry && [TEXTS.people.undo, () => correctFilm({type: "undo", entry_id: did.entry}, TEXTS.people.did.undone).catch(showRefusal)]);
}

// A form that names the person in the library of the job; null where that is not possible.
function naming(person) {
  if (!person.person_id || !job.library || !may("submit") || job.status !== "completed") return null;
  const input = make("input", {type: "text", value: person.label || "", maxLength: 200, required: true, autocomplete: "off", "aria-label": TEXTS.film.nameOf, placeholder: TEXTS.film.nameOf});
  const button = make("button", {className: "tool small", type: "submit"}, TEXTS.film.name), form = make("form", {className: "tools naming"}, input, button);
  button.dataset.name = "name";
  form.addEventListener("submit", event => {
    event.preventDefault();
    act(button, async () => {
      const label = input.value.trim().replace(/\s+/g, " ");
      if (!label) { input.value = ""; input.reportValidity(); return; }
      await post(`libraries/${encodeURIComponent(job.library)}/corrections`, {change: {type: "name", person_id: person.person_id, label}});
      say(fill(TEXTS.film.named, {name: label}));
      await loadPeople();
    });
  });
  return form;
}

function drawTimeline() {
  const length = player.duration, at = time => length > 0 ? TRACK_WIDTH * time / length : 0;
  $("times").hidden = !people.length || !length || player.mode === "picture" || isAlbum();
  const row = person => {
    const track = makeSvg("svg", {class: "track", viewBox: `0 0 ${TRACK_WIDTH} 1`, preserveAspectRatio: "none", "aria-hidden": "true"});
    for (const [from, to] of data.scenes) track.append(makeSvg("path", {class: "shot-edge", d: `M${at(from)} 0V1M${at(to)} 0V1`}));
    track.append(makeSvg("path", {class: "appearance", d: person.appearances.map(([from, to]) => `M${at(from)} .5H${Math.max(at(to), at(from) + 0.01)}`).join("")}));
    track.append(makeSvg("path", {class: "seen", d: person.detections.map(row => `M${at(row[0])} .28V.72`).join("")}));
    track.style.color = person.colour;
    const picture = facePicture(picturePath(person), "");
    return make("div", {className: "line-row"}, make("button", {className: "line-name", type: "button", "data-name": "row " + person.id, onclick: () => choose(person, true), "aria-label": fill(TEXTS.film.rowLabel, {name: person.name, times: person.appearances.slice(0, 20).map(span).join(", ")})}, picture, make("span", {}, person.name)), track);
  };
  const axis = make("div", {className: "axis", "aria-hidden": "true"}), every = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find(step => length / step <= (innerWidth < 620 ? 4 : 9)) || length;
  for (let time = 0; time <= 0.97 * length; time += every) { const mark = make("span", {}, formatTime(time)); mark.style.left = 100 * time / length + "%"; axis.append(mark); }
  const rows = make("div"), head = make("div", {id: "playhead", className: "playhead", "aria-hidden": "true"});
  $("timeline").replaceChildren(make("div", {className: "line-row"}, make("span"), make("div", {className: "playhead-box"}, head)), rows, make("div", {className: "line-row"}, make("span"), axis));
  fillSlowly(rows, people, row);
  if (data.scenes.length) $("timeline").append(make("p", {className: "soft"}, fill(TEXTS.film.shots, {n: data.scenes.length})));
  movePlayhead();
}
function movePlayhead() {
  const head = $("playhead");
  if (!head) return;
  head.style.left = (player.duration ? 100 * player.time / player.duration : 0) + "%";
  head.style.height = 40 * people.length + 4 + "px";
}

// What belongs to the shown moment: boxes, clock, timeline, who is there.
onTime = time => {
  const width = data && data.metadata.frame_width || video.videoWidth || 16, height = data && data.metadata.frame_height || video.videoHeight || 9;
  drawBoxes(people, player.from(), width, height, chosen);
  if (document.activeElement !== $("seek") || !seeking) $("seek").value = time;
  $("seek").setAttribute("aria-valuetext", fill(TEXTS.film.timeOf, {time: formatTime(time), all: formatTime(player.duration)}));
  $("clock").textContent = data && isAlbum() ? fill(TEXTS.film.pictureOf, {n: time + 1, all: data.metadata.total_frames}) : `${formatTime(time)} / ${formatTime(player.duration)}`;
  movePlayhead();
  const there = people.filter(person => isThere(person, time));
  const now = new Set(there);
  for (const person of people) if (person.button && person.there !== now.has(person)) person.button.classList.toggle("there", person.there = now.has(person));
  const text = there.length ? fill(TEXTS.film.now, {names: there.slice(0, 8).map(person => person.name).join(", ") + (there.length > 8 ? " …" : "")}) : TEXTS.film.nobodyNow;
  if ($("now").textContent !== text) $("now").textContent = text;
  if (player.mode === "moments") drawMoment(time);
};

// Where the browser shows no film: the faces that were seen at this moment.
function drawMoment(time) {
  const near = people.map(person => [person, person.detections.findIndex(row => Math.abs(row[0] - time) < 0.02)]).filter(([, index]) => index >= 0).slice(0, 12);
  $("frames").replaceChildren(...near.map(([person, index]) => {
    const place = person.tiles.indexOf(index), sheet = place >= 0 && stripOf(person), picture = make("img", {src: sheet || pictureOf(person), alt: person.name, className: sheet ? "cut" : ""});
    if (sheet) picture.style.objectPosition = `${-TILE * place}px 0`;
    return make("figure", {}, picture, make("figcaption", {}, person.name, sheet ? null : make("span", {className: "soft"}, TEXTS.film.bestShot)));
  }));
}

async function loadPeople() {
  peopleAt = Date.now();
  peopleOf = versionOf(job.library);
  const [found] = await requestJson(jobPath(job, "/people?pictures=none"));
  if (!found) return;  // the job has failed or was cancelled meanwhile, or is gone: the next look at it says so
  if (data && found.complete === data.complete && facesIn(found) === facesIn(data)) { setNames(found); return; }
  if (data && isBusy()) { peopleOf = ""; return; }  // what is chosen or typed is of the faces that are shown: again later
  setPeople(found);
  $("watch").hidden = $("keys").hidden = false;
  $("stage").style.aspectRatio = `${found.metadata.frame_width || 16} / ${found.metadata.frame_height || 9}`;
  $("seek").max = player.duration;
  drawHead();
  redraw($("main"), drawPeople);
  if (!started && (hasEnded(job) || job.media_type)) {
    started = true;
    openMedia(job.media_type, mediaLink(jobPath(job, "/media")));
    goToHash();
  }
  onTime(player.time);
  sayDone();
}
// What was corrected elsewhere shows here too: the people are loaded again when the library of the job has changed.
async function follow() {
  if (!job || !job.library || job.status !== "completed" || !data) return;
  await loadLibraries();
  if (peopleOf !== versionOf(job.library)) await loadPeople();
  await lookForNewer();
}
const isBusy = () => Boolean(dividing) || $("person").contains(document.activeElement) && document.activeElement.matches("input[type=text]");
const facesIn = ({people: some}) => JSON.stringify(some.map(one => [one.id, one.detections.length, Boolean(one.person_id)]));
// Shows other names of the same faces: what has the focus, is typed or chosen, stays.
function setNames(found) {
  found.people.forEach(({label, person_id}, place) => {
    const person = people[place];
    Object.assign(person, {label, person_id, name: personName({...person, label}, place)});
    if (person.button) person.button.querySelector("b").textContent = person.name;
  });
  redraw($("timeline"), drawTimeline);
  if (chosen) {
    $("person-name").textContent = chosen.name;
    const input = $("person").querySelector(".naming input"), page = $("person-page");
    if (input && input !== document.activeElement) input.value = chosen.label || "";
    if (page) page.href = personPage(chosen);
  }
  onTime(player.time);
}
// An analysis of the same film that has replaced this one in the library: the names are there.
async function lookForNewer() {
  const isStale = people.some(person => person.identifiable !== false && !person.person_id);
  if (newerOf === peopleOf) return;
  newerOf = peopleOf;
  const films = isStale ? (await requestJson(libraryOf("/films?limit=1000"))).films : [];
  const newer = films.find(one => one.source === job.video_path && one.job_id !== JOB_ID && new Date(one.added_at) > new Date(job.completed_at));
  $("newer").hidden = !newer;
  if (newer) fillNode($("newer"), TEXTS.film.newer + " ", make("a", {href: link("film/" + encodeURIComponent(newer.job_id))}, TEXTS.film.openNewer));
}
async function refresh() {
  const before = job && job.status, name = encodeURIComponent(JOB_ID);
  const [found] = (await requestJson("jobs?job_id=" + name)).jobs;
  if (!found) {  // it was deleted, or has expired; it does not come back
    for (const id of ["watch", "keys", "progress", "failure", "warnings", "actions", "about", "person", "times", "newer"]) $(id).hidden = true;
    missing = new ResponseError(TEXTS.film.missing);
    throw missing;
  }
  const opens = !started && ["processing", "completed"].includes(found.status);  // its media type may be known by now
  job = opens ? await requestJson("jobs/" + name) : {media_type: job && job.media_type, ...found};
  drawHead();
  if (job.status === "completed" ? before !== "completed" : job.status === "processing" && Date.now() - peopleAt > 1000 * PEOPLE_SECONDS) await loadPeople();
  seenAt = Date.now();
}
const refreshNow = () => refresh().then(() => showProblem(null), showProblem);

// #t=12.5&face=face_0: the moment and the person to begin with.
function goToHash() {
  const wanted = new URLSearchParams(location.hash.slice(1)), face = people.find(person => person.id === wanted.get("face")), time = Number(wanted.get("t"));
  if (face && wanted.has("choose")) dividing = face.id;
  if (face) choose(face, false);
  player.seek(wanted.has("t") && Number.isFinite(time) ? time : face ? face.detections[0][0] : player.mode === "moments" ? player.moments[0] || 0 : 0);
}

let seeking = false;
$("seek").addEventListener("input", () => { seeking = true; player.seek(Number($("seek").value)); });
$("seek").addEventListener("change", () => { seeking = false; });
$("timeline").addEventListener("pointerdown", event => {
  const track = event.target.closest(".track, .axis");
  if (!track || event.button) return;
  const go = to => { const box = track.getBoundingClientRect(); player.seek(player.duration * Math.max(0, Math.min(1, (to.clientX - box.left) / box.width))); };
  const stop = () => { removeEventListener("pointermove", go); removeEventListener("pointerup", stop); };
  addEventListener("pointermove", go);
  addEventListener("pointerup", stop);
  go(event);
});
video.addEventListener("durationknown", () => { $("seek").max = player.duration; if (data) { drawHead(); drawTimeline(); } });
video.addEventListener("volumechange", showMuted);
video.addEventListener("click", () => player.toggle());
$("play").addEventListener("click", () => player.toggle());
$("before").addEventListener("click", () => player.step(-1));
$("after").addEventListener("click", () => player.step(1));
$("mute").addEventListener("click", () => { video.muted = !video.muted; });
$("show-boxes").addEventListener("click", toggleBoxes);
$("full").addEventListener("click", toggleFull);
$("speed").replaceChildren(...SPEEDS.map(value => make("option", {value, selected: value === 1}, `${value}×`)));
$("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); if (player.playing && player.mode === "moments") { player.toggle(); player.toggle(); } });
addEventListener("resize", () => onTime(player.time));
addEventListener("hashchange", goToHash);
whenUnplayable = () => {
  const seen = player.opened ? TEXTS.film.lost : job.media_type ? fill(TEXTS.film.unplayable, {codec: (data && data.metadata.codec) || job.media_type}) : data && isAlbum() ? TEXTS.film.album : TEXTS.film.noMedia;
  $("unplayable").hidden = false;
  $("unplayable").textContent = `${seen} ${player.moments.length && !(data && isAlbum()) ? TEXTS.film.moments : ""}`;
};
for (const [id, name] of [["before", "before"], ["after", "after"], ["show-boxes", "boxes"], ["full", "full"]]) drawIcon(id, name);
$("key-list").append(...KEYS.flatMap(([keys, text]) => [make("dt", {}, ...keys.map(key => make("kbd", {}, key))), make("dd", {}, TEXTS.film[text])]));
startPage("films", async () => { showPlaying(); showMuted(); await refresh(); });
repeat(FOLLOW_SECONDS, follow, "library");
isGone = async () => { try { await refresh(); } catch (error) { if (error !== missing) throw error; showProblem(error); } return Boolean(missing); };
repeat(POLL_SECONDS, async () => {
  if (missing) throw missing;
  if (!job || !hasEnded(job) || Date.now() - seenAt > 1000 * ENDED_POLL_SECONDS) await refresh();
});
