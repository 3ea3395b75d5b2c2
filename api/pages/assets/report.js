
// A detection is an array: [time, quality, size, pose, occlusion, sharpness, pose class, yaw, pitch, roll, confidence, enhanced]
const R = TEXTS.report;
const PARTS = ["size", "pose", "occlusion", "sharpness"];
const COLUMNS = ["time", "quality", ...PARTS, "looks", "yaw", "pitch", "roll", "confidence"];
const MAX_ROWS = 200;  // detections listed at first
const TRACK_WIDTH = 1000;  // units of the SVG
let jobs = [], people = [], shown = [], open = null;

const grade = q => q >= 0.65 ? "good" : q >= 0.4 ? "fair" : "poor";
const videoName = person => fileName(person.job.metadata.video_path);
// The name that the library of the job has, else what the page of the film says.
const nameOf = person => person.label || (person.identifiable === false ? TEXTS.job.unclear : fill(TEXTS.job.unnamed, {n: person.place + 1}));
const nameIn = (job, id) => { const place = job.people.findIndex(one => one.id === id); return place < 0 ? id : nameOf({...job.people[place], place}); };
const same = (a, b) => a.id === b.id && a.job.job_id === b.job.job_id;
// Pictures of an album have an order, and a photograph alone is a picture too: no times.
const isAlbum = job => ["album", "image"].includes(job.metadata.frame_source);
const moment = (job, time) => isAlbum(job) ? fill(TEXTS.film.picture, {n: time + 1}) : formatTime(time);
const times = ({job, appearances}) => appearances.map(([s, e]) => s === e ? moment(job, s) : fill(R.span, {from: moment(job, s), to: moment(job, e)})).join(", ");
const videos = person => [...new Set(person.parts.map(part => part.job))].map(job => fileName(job.metadata.video_path));

// Joins what the jobs show of the same person of a library: the part with the best shot, with all `parts`.
function together(parts) {
  const found = new Map();
  for (const part of parts) {
    const key = part.person_id || `${part.job.job_id}/${part.id}`;
    found.set(key, found.get(key) || []);
    found.get(key).push(part);
  }
  return [...found.values()].map(some => {
    const person = {...some.reduce((a, b) => b.best[1] > a.best[1] ? b : a), parts: some, seen: some.reduce((sum, part) => sum + part.detections.length, 0)};
    for (const part of some) part.person = person;
    return person;
  });
}

function picture(person) {
  return person.picture ? make("img", {className: "picture", src: person.picture, alt: "", loading: "lazy", decoding: "async"})
    : make("span", {className: "picture"});
}

function meter(value) {
  const filled = make("i");
  filled.style.width = 100 * value + "%";
  return make("span", {className: "meter " + grade(value)}, filled);
}

function bars(shot) {
  const box = make("div", {className: "bars"});
  PARTS.forEach((name, i) => box.append(make("span", {}, R.parts[name]), meter(shot[2 + i]), make("span", {}, shot[2 + i].toFixed(2))));
  return box;
}

const attributes = person => {
  const {gender, emotion} = person.demographics || {};
  return [gender && word("gender", gender), emotion && word("emotion", emotion)].filter(Boolean);
};
// The range of the age, or the age where no range is known.
function ageOf(person, about) {
  const {age = null, age_low: low = null, age_high: high = null} = person.demographics || {};
  if (low !== null && high !== null) return low + "–" + high;
  return age === null ? null : fill(about, {n: age});
}
const describe = person => {
  const age = ageOf(person, R.about);
  return [age && number(age, TEXTS.units.year), ...attributes(person)].filter(Boolean).join(", ");
};
const briefText = person => {
  const {gender, emotion} = person.demographics || {};
  return [gender && word("gender", gender), ageOf(person, R.nearly), emotion && word("emotion", emotion)].filter(Boolean).join(" · ");
};
const score = shot => make("span", {className: "score " + grade(shot[1]), title: R.scoreOf}, fill(R.score, {n: shot[1].toFixed(2)}));

// Caches the element of each person, so that filtering and sorting build nothing.
const cached = build => {
  const elements = new WeakMap();
  return person => {
    if (!elements.has(person)) elements.set(person, build(person));
    return elements.get(person);
  };
};

function seenText(person) {
  if (person.parts.length === 1 && isAlbum(person.job)) return some(new Set(person.detections.map(row => row[0])).size, TEXTS.people.inPictures);
  const times = number(person.parts.reduce((sum, part) => sum + part.appearances.length, 0), TEXTS.units.time), {length} = videos(person);
  return length > 1 ? fill(R.inVideos, {times, videos: number(length, TEXTS.units.video)}) : fill(R.from, {times, time: moment(person.job, person.detections[0][0])});
}

const card = cached(person => {
  const best = person.best;
  return make("button", {className: "card", type: "button", onclick: () => show(person)},
    make("span", {className: "shot"}, picture(person), score(best)),
    make("span", {className: "text"},
      make("b", {title: nameOf(person)}, nameOf(person)),
      make("span", {className: "soft"}, seenText(person)),
      make("span", {className: "soft", title: describe(person)}, briefText(person) || word("pose", best[6])),
      jobs.length > 1 ? make("span", {className: "soft", title: videos(person).join(", ")}, videos(person).join(", ")) : null));
});

// Appearances, the quality of every detection and scene changes, as a few paths, however many there are.
function track(person) {
  const {length, scenes} = person.job, at = s => length > 0 ? (TRACK_WIDTH * s / length).toFixed(1) : TRACK_WIDTH / 2;
  const line = s => `M${at(s)} .12V.88`, box = makeSvg("svg", {class: "track", viewBox: `0 0 ${TRACK_WIDTH} 1`, preserveAspectRatio: "none", "aria-hidden": "true"});
  box.append(makeSvg("path", {class: "appearance", d: person.appearances.map(([s, e]) => `M${at(s)} .2H${at(e)}V.8H${at(s)}Z`).join("")}));
  for (const name of ["poor", "fair", "good"]) {
    const seen = person.detections.filter(d => grade(d[1]) === name);
    if (seen.length) box.append(makeSvg("path", {class: name, d: seen.map(d => line(d[0])).join("")}));
  }
  if (scenes.length) box.append(makeSvg("path", {class: "scene", d: scenes.flat().map(s => `M${at(s)} 0V1`).join("")}));
  return box;
}

const row = cached(part => {
  return make("button", {className: "row", type: "button", onclick: () => show(part.person, part), "aria-label": `${nameOf(part)}: ${times(part)}`},
    make("span", {className: "name"}, picture(part), make("span", {}, nameOf(part))), track(part));
});

// A few round times, and the end.
const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
function axis(job) {
  const {length} = job, box = make("div", {className: "axis"}), most = innerWidth < 620 ? 4 : 9;
  const every = STEPS.find(s => length / s <= most && (s >= 1 || !isAlbum(job))) || length / most, times = length > 0 ? [length] : [0];
  for (let time = 0; time < length - 0.6 * every; time += every) times.push(time);
  for (const time of times.sort((a, b) => a - b)) {
    const mark = make("span", {}, isAlbum(job) ? Math.round(time) + 1 : formatTime(time));
    mark.style.left = (length > 0 ? 100 * time / length : 0) + "%";
    box.append(mark);
  }
  return make("div", {className: "row"}, make("span"), box);
}

function timeline(job, visible) {
  const items = [jobs.length > 1 ? make("h3", {}, fileName(job.metadata.video_path)) : null, ...visible.map(person => row(person)), axis(job)];
  return items.filter(Boolean);
}

function legend() {
  const mark = name => make("span", {}, make("i", {className: name}), R.legend[name]);
  return make("p", {className: "legend soft"}, ...["appearance", "good", "fair", "poor"].map(mark), jobs.some(job => job.scenes.length) ? mark("scene") : null);
}

function draw() {
  const least = Number($("quality").value), leastDetections = Number($("often").value) || 1, order = $("order").value;
  const video = $("video").value, pose = $("pose").value, who = $("attribute").value;
  $("least").textContent = least.toFixed(2);
  shown = people.filter(p => p.best[1] >= least && p.seen >= leastDetections && (!pose || p.best[6] === pose) &&
    (!video || p.parts.some(part => part.job.job_id === video)) && (!who || attributes(p).includes(who)));
  if (order === "quality") shown.sort((a, b) => b.best[1] - a.best[1]);
  else if (order === "first") shown.sort((a, b) => a.detections[0][0] - b.detections[0][0]);
  else if (jobs.length > 1) shown.sort((a, b) => b.seen - a.seen);
  $("shown").textContent = shown.length === people.length ? number(people.length, TEXTS.units.person) : fill(R.shown, {n: shown.length, people: number(people.length, TEXTS.units.person)});
  const focused = document.activeElement, place = focused && focused.closest(".gallery, #timeline"), nth = place ? [...place.querySelectorAll("button")].indexOf(focused) : -1;
  $("gallery").replaceChildren(...shown.map(person => card(person)));
  const visible = shown.flatMap(p => p.parts).filter(part => !video || part.job.job_id === video);
  const parts = jobs.map(job => [job, visible.filter(part => part.job === job)]).filter(([, some]) => some.length);
  $("timeline").replaceChildren(...parts.flatMap(([job, some]) => timeline(job, some)), legend());
  if (nth >= 0) { const redrawn = place.querySelectorAll("button")[nth]; if (redrawn) redrawn.focus(); }
  $("nobody").hidden = shown.length > 0;
  $("nobody").textContent = people.length ? R.noMatch : emptyText();
  for (const id of ["people", "times"]) $(id).hidden = !shown.length;
  $("filters").hidden = $("keys").hidden = !people.length;
}
const emptyText = () => !jobs.every(job => job.complete) ? R.nobodyYet :
  jobs.some(job => Object.values(job.metadata.rejected).some(Boolean)) ? R.rejected : R.nobody;

function strip(person) {
  const tiles = person.tiles.map((index, place) => {
    const d = person.detections[index];
    const shot = person.strip ? make("img", {src: person.strip, alt: "", className: "none"}) : make("span", {className: "none"}, word("pose", d[6]));
    if (person.strip) { shot.style.objectFit = "none"; shot.style.objectPosition = `${-72 * place}px 0`; }
    return make("button", {type: "button", className: "tile" + (d[0] === person.best[0] ? " best" : ""), "aria-label": fill(R.tile, {time: moment(person.job, d[0]), n: d[1].toFixed(2)}),
      onclick: () => markRow(index)}, shot, meter(d[1]), moment(person.job, d[0]));
  });
  return make("div", {className: "strip"}, ...tiles);
}

// Marks the row of a detection in the list, and extends the list if the row is not in it yet.
function markRow(index) {
  if (index >= MAX_ROWS && $("all")) $("all").click();
  for (const line of document.querySelectorAll("#list tbody tr")) line.classList.toggle("here", line.dataset.number === String(index));
  const line = document.querySelector("#list .here");
  if (line) line.scrollIntoView({block: "nearest"});
}

function list(person, all) {
  const rows = all ? person.detections : person.detections.slice(0, MAX_ROWS);
  const header = make("tr", {}, ...COLUMNS.map(name => make("th", {scope: "col"}, R.parts[name] || R.columns[name])));
  const body = rows.map((d, place) => {
    const line = make("tr", {}, make("td", {}, moment(person.job, d[0]) + (d[0] === person.best[0] ? " ★" : "") + (d[11] ? " " + R.enhanced : "")),
      make("td", {className: grade(d[1])}, d[1].toFixed(2)), ...d.slice(2, 6).map(v => make("td", {}, v.toFixed(2))),
      make("td", {}, word("pose", d[6])), ...d.slice(7, 10).map(v => make("td", {}, v.toFixed(0) + "°")), make("td", {}, d[10].toFixed(2)));
    line.dataset.number = place;
    return line;
  });
  const box = make("div", {id: "list", className: "scroll", tabIndex: 0, role: "region", "aria-label": R.detections},
    make("table", {}, make("thead", {}, header), make("tbody", {}, ...body)));
  if (rows.length < person.detections.length) box.append(make("button", {id: "all", className: "tool", type: "button",
    onclick: () => box.replaceWith(list(person, true))}, fill(R.allRows, {n: person.detections.length})));
  return box;
}

// The videos of a person who is in several; a click shows what is known from one.
const parted = (person, shown) => person.parts.length < 2 ? [] : [make("h3", {}, number(videos(person).length, TEXTS.units.video)), ...person.parts.map(part =>
  make("button", {className: "row part", type: "button", "aria-pressed": String(same(part, shown)), onclick: () => show(person, part)},
    make("span", {className: "name"}, picture(part), make("span", {}, videoName(part))), make("span", {}, track(part), make("span", {className: "soft"}, times(part)))))];

function show(person, part = person) {
  open = person;
  const p = part, tool = (text, label, act) => make("button", {className: "tool", type: "button", "aria-label": label, onclick: act}, text);
  const fact = (name, value) => value ? [make("dt", {}, name), make("dd", {}, value)] : [];
  $("dialog").replaceChildren(
    make("div", {className: "line"}, make("h2", {}, nameOf(p)), make("span", {className: "tools"}, tool("←", R.previous, () => step(-1)),
      tool("→", R.next, () => step(1)), tool("✕", R.close, () => $("dialog").close()))),
    make("div", {className: "person"}, make("div", {}, make("span", {className: "shot"}, picture(p), score(p.best))), make("div", {},
      bars(p.best),
      make("dl", {}, ...fact(R.looksLike, describe(p)), ...fact(R.bestShot, fill(R.at, {time: moment(p.job, p.best[0]), pose: word("pose", p.best[6])})),
        ...fact(R.video, jobs.length > 1 ? videoName(p) : ""),
        ...fact(R.seen, fill(R.seenIn, {percent: (100 * p.share).toFixed(0), detections: number(p.detections.length, TEXTS.units.detection)})),
        ...fact(R.appears, times(p)), ...fact(R.inLibrary, p.person_id), ...fact(R.inResult, p.id), ...fact(R.cohesion, p.cohesion.toFixed(2)),
        ...fact(R.alike, p.nearest ? fill(R.alikeOne, {name: nameIn(p.job, p.nearest.face_id), similarity: p.nearest.similarity.toFixed(2)}) : "")))),
    ...parted(person, p), make("h3", {}, R.when), track(p), make("h3", {}, p.tiles.length < p.detections.length ? fill(R.some, {n: p.tiles.length, detections: number(p.detections.length, TEXTS.units.detection)}) : number(p.tiles.length, TEXTS.units.detection)),
    strip(p), make("h3", {}, R.allDetections), list(p, false));
  $("dialog").setAttribute("aria-label", nameOf(p));
  if (!$("dialog").open) $("dialog").showModal();
  $("dialog").scrollTop = 0;
}
function step(by) {
  const here = shown.findIndex(person => same(person, open)), next = shown[Math.max(0, Math.min(shown.length - 1, here + by))];
  if (next) show(next);
}

// Arrow keys: left and right move to the neighbour, up and down to the nearest person of the next row.
function move(event) {
  const from = event.target.closest(".card, .row"), by = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
  if (!from || from.tagName !== "BUTTON" || !by) return;
  const all = [...from.parentNode.querySelectorAll(":scope > button")], here = from.getBoundingClientRect();
  let to = all[all.indexOf(from) + by];
  if (from.className === "card" && /Up|Down/.test(event.key)) {
    const beyond = all.filter(c => by * (c.getBoundingClientRect().top - here.top) > 1);
    to = beyond.sort((a, b) => distance(a, here) - distance(b, here))[0];
  }
  if (to) { to.focus(); event.preventDefault(); }
}
const distance = (node, here) => {
  const box = node.getBoundingClientRect();
  return 10 * Math.abs(box.top - here.top) + Math.abs(box.left - here.left);
};

function options(id, values, first) {
  const chosen = $(id).value;
  $(id).replaceChildren(make("option", {value: ""}, first), ...values.map(([value, text]) => make("option", {value}, text)));
  $(id).value = values.some(([value]) => value === chosen) ? chosen : "";
}
const unique = (values, text = value => value) => [...new Set(values)].sort().map(value => [value, text(value)]);

function about(job) {
  const meta = job.metadata, facts = [fill(isAlbum(job) ? R.inAlbum : R.inFrames, {detections: number(meta.total_detections, TEXTS.units.detection), n: meta.frames_processed, all: meta.sampled_frames || meta.total_frames}),
    isAlbum(job) ? "" : fill(R.upTo, {time: formatTime(job.length)}), job.scenes.length ? number(job.scenes.length, TEXTS.units.scene) : "", meta.model ? fill(R.model, {name: meta.model}) : ""];
  const warnings = [...meta.warnings];
  if (meta.failed_frames_count) warnings.push(fill(R.failedFrames, {frames: number(meta.failed_frames_count, TEXTS.units.frame)}));
  if (job.people.length < meta.unique_faces) warnings.push(fill(R.firstPeople, {n: job.people.length, people: number(meta.unique_faces, TEXTS.units.person)}));
  return [make("p", {className: "soft"}, [meta.video_path, job.source_id, job.job_id].filter(Boolean).join(" · ")),
    make("p", {className: "soft"}, facts.filter(Boolean).join(", ")), ...warnings.map(text => make("p", {className: "soft warning"}, text))];
}

// Shows these jobs instead of the current ones.
function update(data) {
  jobs = data;
  const parts = jobs.flatMap(job => job.people.map((person, place) => ({...person, place, job})));  // new objects, so that the cache builds them again
  people = together(parts);
  const total = jobs.reduce((sum, job) => sum + job.metadata.unique_faces, 0) - parts.length + people.length;
  const where = jobs.length === 1 ? fileName(jobs[0].metadata.video_path) : number(jobs.length, TEXTS.units.video);
  const title = fill(jobs.every(job => job.complete) ? R.title : R.soFar, {people: number(total, TEXTS.units.person), where});
  $("title").textContent = title;
  document.title = title;
  $("about").replaceChildren(...jobs.length === 1 ? about(jobs[0]) : jobs.flatMap(job => [make("details", {className: "soft"}, make("summary", {},
    `${fileName(job.metadata.video_path)}: ${number(job.metadata.unique_faces, TEXTS.units.person)}`), ...about(job))]));
  options("video", jobs.map(job => [job.job_id, fileName(job.metadata.video_path)]), R.all);
  options("pose", unique(people.map(p => p.best[6]), value => word("pose", value)), R.any);
  options("attribute", unique(people.flatMap(attributes)), R.any);
  $("videos").hidden = jobs.length < 2;
  $("who").hidden = !people.some(p => attributes(p).length);
  $("often").max = Math.max(1, ...people.map(p => p.seen));
  draw();
  const again = $("dialog").open && people.find(person => person.parts.some(part => same(part, open)));
  if (again) $("dialog").querySelector("h2").textContent = nameOf(again);  // the rest of it is of the same detections
}

document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if ($("dialog").open) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  } else if (event.key === "/" && event.target.tagName !== "INPUT") { $("quality").focus(); event.preventDefault(); }
  else move(event);
});
$("dialog").addEventListener("click", event => { if (event.target === $("dialog")) $("dialog").close(); });
$("dialog").addEventListener("close", () => { const at = shown.findIndex(person => same(person, open)), card = $("gallery").children[at]; if (card) card.focus(); });
$("filters").addEventListener("input", draw);
$("filters").addEventListener("submit", event => event.preventDefault());
fillTexts(document);
$("order").replaceChildren(...Object.entries(R.orders).map(([value, text]) => make("option", {value}, text)));
theme();
const embedded = JSON.parse($("data").textContent);
if (embedded) update(embedded);
