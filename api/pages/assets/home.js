
// Films with their people, live; the bar that adds films.
const POLL_SECONDS = 2;
const SHOWN_FACES = 4, SHOWN_PEOPLE = 12;
const MAX_SORTED = 200;  // people with a name, and without, of whom those in most films are shown
const LOADED_AT_ONCE = 6;  // films whose people are loaded
const LIVE_PREVIEWS = 3;  // running jobs whose people so far are loaded
const STATUSES = [["", "all"], ["running", "running"], ["completed", "done"], ["failed", "failed"]];
const FROM = [["", "ofLibrary"], ["none", "ofNone"], ["all", "ofAll"]];  // which films are shown, of a service with libraries
let films = [], pages = 1, next = null;
const from = () => library() ? $("from").value : "all";
const faces = new Map();  // job id -> its people, as far as they are known
const facesAt = new Map();  // job id -> the state that they belong to

const stateOf = job => job.status === "processing" ? Math.floor(20 * job.progress) : `${job.status} ${versionOf(job.library)}`;
const isOutdated = job => facesAt.get(job.job_id) !== stateOf(job);
// The people of a job: of a running one those so far. Loaded again when the job or its library has changed.
async function loadFaces(job) {
  const version = stateOf(job);
  if (!isOutdated(job)) return;
  if (!films.some(one => one.job_id === job.job_id)) return;  // it was deleted meanwhile
  facesAt.set(job.job_id, version);
  try {
    if (job.status === "processing") {
      const [shown] = await requestJson(jobPath(job, "/people"));
      if (shown) faces.set(job.job_id, shown.people.map(one => ({label: one.label, identifiable: one.identifiable, picture: one.picture})));
    } else {
      const fields = "faces.face_id,faces.label,faces.matches,faces.identifiable,faces.thumbnail";
      const result = await requestJson(jobPath(job, "/results?fields=" + fields));
      faces.set(job.job_id, result.faces.map(one => ({label: one.label || ((one.matches || [])[0] || {}).label, identifiable: one.identifiable, picture: jobPath(job, "/" + one.thumbnail)})));
    }
  } catch (error) {
    if (error instanceof ResponseError && [404, 409].includes(error.status)) return;  // it has just ended, or expired
    facesAt.delete(job.job_id);
    throw error;
  }
}

// The pictures stay as long as the people do: new ones would have to be loaded.
const lists = new Map();  // job id -> [who is in the list, its element]
function facesOf(job) {
  const all = faces.get(job.job_id) || [], who = JSON.stringify(all), kept = lists.get(job.job_id);
  if (!all.length) return null;
  if (kept && kept[0] === who) return kept[1];
  const list = make("ul", {className: "faces", "aria-label": fill(TEXTS.home.faces, {name: filmTitle(job)})}, ...all.slice(0, SHOWN_FACES).map((one, place) => make("li", {title: personName(one, place)},
    facePicture(one.picture, personName(one, place), "face", 52))));
  if (all.length > SHOWN_FACES) list.append(make("li", {className: "soft"}, "+" + (all.length - SHOWN_FACES), make("span", {className: "unseen"}, fill(TEXTS.home.more, {n: all.length - SHOWN_FACES}))));
  lists.set(job.job_id, [who, list]);
  return list;
}

// A film that was analysed again in the same library has one card, that of the latest analysis: the library has the people of that one.
// The card says how many earlier analyses there are, and shows them.
const unfolded = new Set();  // films whose earlier analyses are shown
const filmOf = job => job.library ? `${job.library} ${job.video_path}` : job.job_id;
// The ended jobs that an analysis replaces, by its id; `listed`: the latest first.
function replaced(listed) {
  const latest = new Map(), found = new Map();
  for (const job of listed) {
    const later = latest.get(filmOf(job));
    if (later && hasEnded(job)) found.set(later, [...found.get(later) || [], job]);
    else if (job.status === "completed") latest.set(filmOf(job), job.job_id);
  }
  return found;
}

// Cards are built again only when something on them has changed: what has the focus, or is being read aloud, stays.
const cards = new Map();  // job id -> [what is on it, its element]
function cardOf(job, before) {
  const known = faces.get(job.job_id), shown = JSON.stringify([before, unfolded.has(filmOf(job)), {...job, expires_in: 0}, lifetime(job), ago((Date.now() - new Date(job.created_at)) / 1000), (known || []).map(one => [one.label, (one.picture || "").length]), session.scopes]);
  const kept = cards.get(job.job_id);
  if (kept && kept[0] === shown) return kept[1];
  const card = filmCard(job, before);
  card.dataset.job = job.job_id;
  cards.set(job.job_id, [shown, card]);
  if (kept) seen.unobserve(kept[1]);
  seen.observe(card);
  return card;
}

// The people of a film are loaded when its card comes into view; of all films, when names are searched for.
const inView = new Set();  // job ids
const seen = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) isIntersecting ? inView.add(target.dataset.job) : inView.delete(target.dataset.job);
  if (session) loadSeen().catch(showProblem);
}, {rootMargin: NEAR});
let loading = null;  // of the people
const loadSeen = () => loading = loading || loadShown().finally(() => { loading = null; });
async function loadShown() {
  const searched = Boolean($("search").value.trim()), running = films.filter(job => job.status === "processing").slice(0, LIVE_PREVIEWS);
  for (;;) {
    const wanted = [...running.splice(0), ...films.filter(job => job.status === "completed" && (searched || inView.has(job.job_id)) && isOutdated(job))].slice(0, LOADED_AT_ONCE);
    if (!wanted.length) return;
    await Promise.all(wanted.map(loadFaces));
    draw();
  }
}

function filmCard(job, before) {
  const name = filmTitle(job), summary = job.result_summary, known = faces.get(job.job_id) || [];
  const names = known.map(one => one.label).filter(Boolean);
  const title = make("a", {href: link("film/" + encodeURIComponent(job.job_id)), title: job.video_path}, ...breakable(name));
  title.dataset.name = "open " + job.job_id;
  const counted = summary ? summary.unique_faces : known.length;
  const state = make("span", {className: "state " + job.status}, TEXTS.job[job.status]);
  const facts = [job.status === "completed" ? counted ? number(counted, TEXTS.units.person) : TEXTS.job.nobody : job.status === "processing" && counted ? fill(TEXTS.home.soFar, {people: number(counted, TEXTS.units.person)}) : "",
    job.status === "completed" ? lifetime(job) : ""];
  const card = make("li", {className: "film " + job.status},
    hasEnded(job) && !known.length && !counted ? null : make("div", {className: "film-top"}, facesOf(job) || make("span", {className: "no-faces", "aria-hidden": "true"})),
    make("div", {className: "film-text"},
      make("h3", {}, title),
      make("p", {className: "soft"}, factsLine(state, make("span", {}, TEXTS.job.added + " ", when(job.created_at)), ...facts)),
      names.length ? make("p", {className: "names"}, names.slice(0, 4).join(", ") + (names.length > 4 ? " …" : "")) : null,
      job.source_id ? make("p", {className: "soft"}, fill(TEXTS.job.sourceId, {id: job.source_id})) : null,
      job.status === "processing" ? make("div", {}, make("progress", {max: 1, value: job.progress, "aria-label": fill(TEXTS.home.progress, {percent: Math.round(100 * job.progress), message: job.message})}), make("p", {className: "soft"}, job.message)) : null,
      job.status === "failed" ? make("p", {className: "error"}, job.error) : null,
      job.status === "failed" ? make("p", {className: "soft"}, hint(job.error)) : null),
    make("div", {className: "tools film-tools"}, ...jobButtons(job, refreshNow), before ? earlierButton(job, before) : null));
  return card;
}

function earlierButton(job, before) {
  const button = make("button", {className: "tool small quiet", type: "button", "aria-expanded": String(unfolded.has(filmOf(job))), "data-name": "earlier " + job.job_id,
    onclick: () => { unfolded.has(filmOf(job)) ? unfolded.delete(filmOf(job)) : unfolded.add(filmOf(job)); draw(); }}, some(before, TEXTS.home.earlierAnalyses));
  return button;
}

function draw() {
  if (!session) return;  // something is typed while the page loads
  const text = $("search").value.trim().toLowerCase(), status = $("status").value;
  const matches = job => (!status || status === job.status || status === "running" && !hasEnded(job) || status === "failed" && job.status === "cancelled") &&
    (!text || [job.video_path, job.source_id, job.job_id, ...(faces.get(job.job_id) || []).map(one => one.label)].some(part => part && part.toLowerCase().includes(text)));
  const found = films.filter(matches), earlierOf = replaced(found), folded = new Set([...earlierOf.values()].flat().filter(job => !unfolded.has(filmOf(job))));
  const shown = found.filter(job => !folded.has(job));
  const drawn = shown.map(job => cardOf(job, (earlierOf.get(job.job_id) || []).length)), there = [...$("films").children];
  if (drawn.length !== there.length || drawn.some((card, place) => card !== there[place])) redraw($("films"), () => $("films").replaceChildren(...drawn));
  drawEarlier(text);
  const first = !films.length && !people.length && (!library() || libraries.length < 2 && !from());
  $("from-box").hidden = !library();
  for (const option of $("from").options) if (!option.value) option.textContent = fill(TEXTS.home.ofLibrary, {library: library()});
  $("films-part").hidden = !films.length && !library();
  $("nothing").hidden = shown.length > 0 || first;
  $("nothing").textContent = films.length ? TEXTS.home.nothing : TEXTS.home.nothingHere;
  $("empty").hidden = !first;
  $("people-part").hidden = !people.length || Boolean(from());
  $("demo").parentElement.hidden = !session.max_upload_bytes || !may("submit");
  $("more").hidden = !next;
  $("browse").hidden = !session.serves_media || !may("submit");
  $("upload").hidden = !session.max_upload_bytes || !may("submit");
  $("add").classList.toggle("denied", !may("submit"));
  $("source").disabled = !may("submit");
  $("joins").textContent = !may("submit") ? TEXTS.home.may : from() === "none" ? TEXTS.home.joinsNone : library() ? fill(TEXTS.home.joins, {library: library()}) : "";
  $("joins").hidden = !$("joins").textContent;
}

// Films of the library whose results are gone: their people stay, and they can be analysed again.
let earlier = [];
const age = time => ago(Math.max(0, Date.now() - new Date(time)) / 1000);
function drawEarlier(text) {
  const known = new Set(films.flatMap(job => [job.job_id, job.video_path])), shown = next || from() ? [] : earlier.filter(one => !known.has(one.job_id) && !known.has(one.source) && (!text || one.source.toLowerCase().includes(text)));
  const row = one => {
    const again = make("button", {className: "tool small", type: "button", "aria-label": `${TEXTS.home.again}: ${fileName(one.source)}`, onclick: () => act(again, () => submit(one.source))}, TEXTS.home.again);
    return make("li", {className: "earlier"}, make("span", {}, make("b", {title: one.source}, fileName(one.source)), make("span", {className: "soft"}, fill(TEXTS.home.earlierOne, {people: number(one.people, TEXTS.units.person), age: age(one.added_at)}))), may("submit") ? again : null);
  };
  $("earlier-part").hidden = !shown.length;
  const content = JSON.stringify(shown.map(one => [one.film_id, one.people, age(one.added_at)]));
  if ($("earlier").dataset.shown !== content) { $("earlier").dataset.shown = content; $("earlier").replaceChildren(...shown.map(row)); }
}

let people = [];
async function loadPeople() {
  earlier = [];
  earlierAt = "";
  if (!library()) { people = []; return; }
  const most = (a, b) => b.films - a.films || b.seconds - a.seconds, load = async only => (await requestJson(`libraries/${library()}/people?limit=${MAX_SORTED}&only=${only}`)).people.sort(most);
  people = await load("named");
  if (people.length < SHOWN_PEOPLE) people = people.concat(await load("unnamed"));
  $("people").replaceChildren(...people.slice(0, SHOWN_PEOPLE).map(one => make("li", {}, make("a", {href: link(`people/${encodeURIComponent(one.person_id)}?library=${encodeURIComponent(library())}`)},
    facePicture(one.portrait && `libraries/${library()}/${one.portrait}`, ""), make("span", {}, one.label || TEXTS.home.unnamed), make("span", {className: "soft"}, number(one.films, TEXTS.units.film))))));
  $("everybody").href = link("people?library=" + encodeURIComponent(library()));
}

// Films of the library that are not among the films of the page: they are asked for when the library has more.
let earlierAt = "";  // version of the library that they belong to
async function loadEarlier(version) {
  const {films: all} = libraries.find(one => one.name === library()) || {films: 0}, listed = new Set(films.filter(job => job.library === library() && job.status === "completed").map(job => job.video_path));
  if (from() || next || listed.size >= all || earlierAt === version) return;
  earlier = (await requestJson(`libraries/${library()}/films?limit=200`)).films;
  earlierAt = version;
}

const asked = () => ({"": library(), none: "", all: null})[from()];  // the library whose films are shown; empty: of none; null: all
async function loadFilms() {
  const wanted = asked();
  let found = [], cursor = null;
  for (let page = 0; page < pages; page++) {
    const part = await requestJson("jobs?" + new URLSearchParams({limit: 50, ...wanted === null ? {} : {library: wanted}, ...cursor ? {cursor} : {}}));
    found = found.concat(part.jobs);
    cursor = part.next;
    if (!cursor) break;
  }
  if (wanted !== asked()) return;  // others are wanted by now
  next = cursor;
  films = found;
}

let libraryVersion = "";
async function refresh() {
  await loadLibraries();
  await loadFilms();
  const version = library() + " " + versionOf(library());
  if (version !== libraryVersion) { await loadPeople(); libraryVersion = version; }
  await loadEarlier(version);
  draw();
  await loadSeen();
}
const refreshNow = () => refresh().then(() => showProblem(null), showProblem);

async function submit(path) {
  if (!libraries.length) await loadLibraries();  // the page may be loading
  await post("analyze", {video_path: path, ...library() ? {parameters: {library: from() === "none" ? "" : library()}} : {}});
  say(fill(TEXTS.home.submitted, {name: fileName(path)}));
  await refreshNow();
}

async function send(file) {
  const bar = make("progress", {max: file.size, value: 0, "aria-label": file.name}), text = make("span", {}, file.name), stop = new AbortController();
  const stopping = make("button", {className: "tool small", type: "button", "aria-label": `${TEXTS.home.stop}: ${file.name}`, onclick: () => stop.abort()}, TEXTS.home.stop);
  const row = make("div", {className: "uploading"}, text, bar, stopping);
  $("uploads").append(row);
  try {
    if (!file.size) throw new ResponseError(fill(TEXTS.home.noBytes, {name: file.name}));
    if (file.size > session.max_upload_bytes) throw new ResponseError(session.max_upload_bytes ? fill(TEXTS.home.tooLarge, {name: file.name, limit: bytes(session.max_upload_bytes)}) : TEXTS.home.noUpload);
    const path = await upload(file, done => { bar.value = done; text.textContent = fill(TEXTS.home.uploading, {name: file.name, done: bytes(done), all: bytes(file.size)}); }, stop.signal);
    await submit(path);
    row.remove();
  } catch (error) {
    bar.remove();
    stopping.remove();
    if (stop.signal.aborted) { await stopUpload(file).catch(showRefusal); row.remove(); say(TEXTS.home.stopped); return; }
    row.className = "error";
    text.textContent = error instanceof ResponseError ? error.message : fill(TEXTS.home.uploadFailed, {name: file.name, reason: unexpected(error)});
  }
}
async function sendAll(list) { for (const file of list) await send(file); }

$("add").addEventListener("submit", event => {
  event.preventDefault();
  const path = $("source").value.trim().replace(/^(["'])(.+)\1$/, "$2");  // file managers copy paths in quotes
  if (path) act(event.submitter || $("source"), async () => { await submit(path); $("source").value = ""; });
});
$("browse").addEventListener("click", async () => { const path = await pick(); if (path) act($("browse"), () => submit(path)); });
$("upload").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { sendAll([...$("file").files]); $("file").value = ""; });
$("demo").addEventListener("click", () => act($("demo"), async () => {
  $("demo").textContent = TEXTS.home.making;
  try { await submit((await post("demo")).path); } finally { $("demo").textContent = TEXTS.home.demo; }
}));
const carriesFiles = event => event.dataTransfer && [...event.dataTransfer.types].includes("Files") && may("submit");
document.addEventListener("dragover", event => { if (carriesFiles(event)) { event.preventDefault(); $("drop").hidden = false; } });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", event => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  $("drop").hidden = true;
  const folders = [...event.dataTransfer.items].some(item => item.webkitGetAsEntry && (item.webkitGetAsEntry() || {}).isDirectory);
  if (folders) showRefusal(new ResponseError(TEXTS.home.noFolder)); else sendAll([...event.dataTransfer.files]);
});
$("status").replaceChildren(...STATUSES.map(([value, name]) => make("option", {value}, TEXTS.home[name])));
$("from").replaceChildren(...FROM.map(([value, name]) => make("option", {value}, TEXTS.home[name])));
$("from").addEventListener("change", () => { pages = 1; refreshNow(); });
for (const id of ["search", "status"]) $(id).addEventListener("input", () => { draw(); loadSeen().catch(showProblem); });
$("more").addEventListener("click", () => { pages++; refreshNow(); });
onLibrary(() => { pages = 1; refreshNow(); });
startPage("films", refresh);
repeat(POLL_SECONDS, refresh);
