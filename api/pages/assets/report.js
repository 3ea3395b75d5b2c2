
// A detection is an array: [time, quality, size, pose, occlusion, sharpness, pose class, yaw, pitch, roll, confidence, enhanced]
const PARTS = ["size", "pose", "occlusion", "sharpness"];
const MAX_ROWS = 200;  // detections listed at first
const TRACK_WIDTH = 1000;  // units of the SVG
let jobs = [], people = [], shown = [], open = null;

const grade = q => q >= 0.65 ? "good" : q >= 0.4 ? "fair" : "poor";
const videoName = person => fileName(person.job.metadata.video_path);
// The name that the library of the job has, else what the page of the film says.
const nameOf = person => person.label || (person.identifiable === false ? "Too unclear to identify" : `Person ${person.place + 1}`);
const nameIn = (job, id) => { const place = job.people.findIndex(one => one.id === id); return place < 0 ? id : nameOf({...job.people[place], place}); };
const same = (a, b) => a.id === b.id && a.job.job_id === b.job.job_id;
const times = person => person.appearances.map(([s, e]) => s === e ? formatTime(s) : formatTime(s) + " to " + formatTime(e)).join(", ");
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

// A head seen from the front: the nose moves with yaw and pitch, the whole turns with roll.
function headIcon(shot) {
  const [yaw, pitch, roll] = shot.slice(7, 10), clamp = v => Math.max(-1, Math.min(1, v / 60));
  return makeSvg("svg", {class: "head", viewBox: "-13 -14 26 26", role: "img",
    "aria-label": `${shot[6]}: yaw ${yaw}°, pitch ${pitch}°, roll ${roll}°`},
    makeSvg("g", {transform: `rotate(${Number(roll)})`}, makeSvg("circle", {r: 10}), makeSvg("path", {d: "M0 -10 V-13"}),
      makeSvg("circle", {class: "nose", cx: 8 * clamp(yaw), cy: -8 * clamp(pitch), r: 3})));
}

function meter(value) {
  const fill = make("i");
  fill.style.width = 100 * value + "%";
  return make("span", {className: "meter " + grade(value)}, fill);
}

function bars(shot) {
  const box = make("div", {className: "bars"});
  PARTS.forEach((name, i) => box.append(make("span", {}, name), meter(shot[2 + i]), make("span", {}, shot[2 + i].toFixed(2))));
  return box;
}

const SEXES = {M: "man", F: "woman"};
const attributes = person => {
  const d = person.demographics || {};
  return [SEXES[d.gender], d.emotion].filter(Boolean);
};
// The range of the age, or the age where no range is known.
function ageOf(person, about) {
  const {age = null, age_low: low = null, age_high: high = null} = person.demographics || {};
  if (low !== null && high !== null) return low + "–" + high;
  return age === null ? null : about + age;
}
const describe = person => {
  const age = ageOf(person, "about ");
  return [age && age + " years", ...attributes(person)].filter(Boolean).join(", ");
};
const briefText = person => {
  const {gender, emotion} = person.demographics || {};
  return [SEXES[gender], ageOf(person, "≈"), emotion].filter(Boolean).join(" · ");
};
const score = shot => make("span", {className: "score " + grade(shot[1]), title: "of the best shot, from 0 to 1"}, `quality ${shot[1].toFixed(2)}`);

// Caches the element of each person, so that filtering and sorting build nothing.
const cached = build => {
  const elements = new WeakMap();
  return person => {
    if (!elements.has(person)) elements.set(person, build(person));
    return elements.get(person);
  };
};

const card = cached(person => {
  const best = person.best;
  return make("button", {className: "card", type: "button", onclick: () => show(person)},
    make("span", {className: "shot"}, picture(person), score(best), headIcon(best)),
    make("span", {className: "text"},
      make("b", {title: nameOf(person)}, nameOf(person)),
      make("span", {className: "soft"}, count(person.parts.reduce((sum, part) => sum + part.appearances.length, 0), "time", "times") +
        (videos(person).length > 1 ? ` in ${videos(person).length} videos` : `, from ${formatTime(person.detections[0][0])}`)),
      make("span", {className: "soft", title: describe(person)}, briefText(person) || best[6]),
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
function axis(length) {
  const box = make("div", {className: "axis"}), most = innerWidth < 620 ? 4 : 9;
  const every = STEPS.find(s => length / s <= most) || length / most, times = length > 0 ? [length] : [0];
  for (let time = 0; time < length - 0.6 * every; time += every) times.push(time);
  for (const time of times.sort((a, b) => a - b)) {
    const mark = make("span", {}, formatTime(time));
    mark.style.left = (length > 0 ? 100 * time / length : 0) + "%";
    box.append(mark);
  }
  return make("div", {className: "row"}, make("span"), box);
}

function timeline(job, visible) {
  const items = [jobs.length > 1 ? make("h3", {}, fileName(job.metadata.video_path)) : null, ...visible.map(person => row(person)), axis(job.length)];
  return items.filter(Boolean);
}

function legend() {
  const mark = (name, text) => make("span", {}, make("i", {className: name}), text);
  return make("p", {className: "legend soft"}, mark("appearance", "appearance"), mark("good", "good"), mark("fair", "fair"), mark("poor", "poor quality"),
    jobs.some(job => job.scenes.length) ? mark("scene", "scene") : null);
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
  $("shown").textContent = shown.length === people.length ? count(people.length, "person", "people") : `${shown.length} of ${people.length} people`;
  const focused = document.activeElement, place = focused && focused.closest(".gallery, #timeline"), number = place ? [...place.querySelectorAll("button")].indexOf(focused) : -1;
  $("gallery").replaceChildren(...shown.map(person => card(person)));
  const visible = shown.flatMap(p => p.parts).filter(part => !video || part.job.job_id === video);
  const parts = jobs.map(job => [job, visible.filter(part => part.job === job)]).filter(([, some]) => some.length);
  $("timeline").replaceChildren(...parts.flatMap(([job, some]) => timeline(job, some)), legend());
  if (number >= 0) { const redrawn = place.querySelectorAll("button")[number]; if (redrawn) redrawn.focus(); }
  $("nobody").hidden = shown.length > 0;
  $("nobody").textContent = people.length ? "No person matches these filters." : emptyText();
  for (const id of ["people", "times"]) $(id).hidden = !shown.length;
  $("filters").hidden = $("keys").hidden = !people.length;
}
const emptyText = () => !jobs.every(job => job.complete) ? "No people yet." :
  jobs.some(job => Object.values(job.metadata.rejected).some(Boolean)) ? "No people are left: detections were rejected." : "No faces were found.";

function strip(person) {
  const tiles = person.tiles.map((index, place) => {
    const d = person.detections[index];
    const shot = person.strip ? make("img", {src: person.strip, alt: "", className: "none"}) : make("span", {className: "none"}, headIcon(d));
    if (person.strip) { shot.style.objectFit = "none"; shot.style.objectPosition = `${-72 * place}px 0`; }
    return make("button", {type: "button", className: "tile" + (d[0] === person.best[0] ? " best" : ""), "aria-label": `at ${formatTime(d[0])}, quality ${d[1].toFixed(2)}`,
      onclick: () => markRow(index)}, shot, meter(d[1]), formatTime(d[0]));
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
  const header = make("tr", {}, ...["time", "quality", ...PARTS, "looks", "yaw", "pitch", "roll", "confidence"].map(n => make("th", {scope: "col"}, n)));
  const body = rows.map((d, number) => {
    const line = make("tr", {}, make("td", {}, formatTime(d[0]) + (d[0] === person.best[0] ? " ★" : "") + (d[11] ? " enhanced" : "")),
      make("td", {className: grade(d[1])}, d[1].toFixed(2)), ...d.slice(2, 6).map(v => make("td", {}, v.toFixed(2))),
      make("td", {}, d[6]), ...d.slice(7, 10).map(v => make("td", {}, v.toFixed(0) + "°")), make("td", {}, d[10].toFixed(2)));
    line.dataset.number = number;
    return line;
  });
  const box = make("div", {id: "list", className: "scroll", tabIndex: 0, role: "region", "aria-label": "Detections"},
    make("table", {}, make("thead", {}, header), make("tbody", {}, ...body)));
  if (rows.length < person.detections.length) box.append(make("button", {id: "all", className: "tool", type: "button",
    onclick: () => box.replaceWith(list(person, true))}, `all ${person.detections.length}`));
  return box;
}

// The videos of a person who is in several; a click shows what is known from one.
const parted = (person, shown) => person.parts.length < 2 ? [] : [make("h3", {}, count(videos(person).length, "video", "videos")), ...person.parts.map(part =>
  make("button", {className: "row part", type: "button", "aria-pressed": String(same(part, shown)), onclick: () => show(person, part)},
    make("span", {className: "name"}, picture(part), make("span", {}, videoName(part))), make("span", {}, track(part), make("span", {className: "soft"}, times(part)))))];

function show(person, part = person) {
  open = person;
  const p = part, tool = (text, label, act) => make("button", {className: "tool", type: "button", "aria-label": label, onclick: act}, text);
  const fact = (name, value) => value ? [make("dt", {}, name), make("dd", {}, value)] : [];
  $("dialog").replaceChildren(
    make("div", {className: "line"}, make("h2", {}, nameOf(p)), make("span", {className: "tools"}, tool("←", "previous", () => step(-1)),
      tool("→", "next", () => step(1)), tool("✕", "close", () => $("dialog").close()))),
    make("div", {className: "person"}, make("div", {}, make("span", {className: "shot"}, picture(p), score(p.best), headIcon(p.best))), make("div", {},
      bars(p.best),
      make("dl", {}, ...fact("looks like", describe(p)), ...fact("best shot", `at ${formatTime(p.best[0])}, ${p.best[6]}`),
        ...fact("video", jobs.length > 1 ? videoName(p) : ""),
        ...fact("seen", `in ${(100 * p.share).toFixed(0)} % of the frames, ${count(p.detections.length, "detection", "detections")}`),
        ...fact("appears", times(p)), ...fact("in the library", p.person_id), ...fact("in the result", p.id), ...fact("cohesion", p.cohesion.toFixed(2)),
        ...fact("most alike", p.nearest ? `${nameIn(p.job, p.nearest.face_id)} (${p.nearest.similarity.toFixed(2)})` : "")))),
    ...parted(person, p), make("h3", {}, "When"), track(p), make("h3", {}, p.tiles.length < p.detections.length ? `${p.tiles.length} of ${p.detections.length} detections` : count(p.tiles.length, "detection", "detections")),
    strip(p), make("h3", {}, "All detections"), list(p, false));
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
const unique = values => [...new Set(values)].sort().map(value => [value, value]);

function about(job) {
  const meta = job.metadata, facts = [`${count(meta.total_detections, "detection", "detections")} in ${meta.frames_processed} of ${meta.sampled_frames || meta.total_frames} frames`,
    `up to ${formatTime(job.length)}`, job.scenes.length ? count(job.scenes.length, "scene", "scenes") : "", meta.model ? `model pack ${meta.model}` : ""];
  const warnings = [...meta.warnings];
  if (meta.failed_frames_count) warnings.push(`${count(meta.failed_frames_count, "frame", "frames")} could not be analysed.`);
  if (job.people.length < meta.unique_faces) warnings.push(`The first ${job.people.length} of ${meta.unique_faces} people are shown.`);
  return [make("p", {className: "soft"}, [meta.video_path, job.source_id, job.job_id].filter(Boolean).join(" · ")),
    make("p", {className: "soft"}, facts.filter(Boolean).join(", ")), ...warnings.map(text => make("p", {className: "soft warning"}, text))];
}

// Shows these jobs instead of the current ones.
function update(data) {
  jobs = data;
  const parts = jobs.flatMap(job => job.people.map((person, place) => ({...person, place, job})));  // new objects, so that the cache builds them again
  people = together(parts);
  const number = jobs.reduce((sum, job) => sum + job.metadata.unique_faces, 0) - parts.length + people.length;
  const where = jobs.length === 1 ? fileName(jobs[0].metadata.video_path) : count(jobs.length, "video", "videos");
  const title = `${count(number, "person", "people")}${jobs.every(job => job.complete) ? "" : " so far"} in ${where}`;
  $("title").textContent = title;
  document.title = title;
  $("about").replaceChildren(...jobs.length === 1 ? about(jobs[0]) : jobs.flatMap(job => [make("details", {className: "soft"}, make("summary", {},
    `${fileName(job.metadata.video_path)}: ${count(job.metadata.unique_faces, "person", "people")}`), ...about(job))]));
  options("video", jobs.map(job => [job.job_id, fileName(job.metadata.video_path)]), "all");
  options("pose", unique(people.map(p => p.best[6])), "any");
  options("attribute", unique(people.flatMap(attributes)), "any");
  $("videos").hidden = jobs.length < 2;
  $("who").hidden = !people.some(p => attributes(p).length);
  $("often").max = Math.max(1, ...people.map(p => p.seen));
  draw();
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
theme();
const embedded = JSON.parse($("data").textContent);
if (embedded) update(embedded);
