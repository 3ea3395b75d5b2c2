
// What the pages of a library share: words for people and probabilities, corrections with their undo, dialogs.
const T = TEXTS.people;
const JSON_TYPE = {"Content-Type": "application/json"};
const PAGE = 1000, MAX_PEOPLE = 20000;  // people of one request, and of all
const everyone = new Map();  // people of the library by id, oldest first, hidden ones too
let version = "", isCut = false, lastEntries = [], whenChanged = async () => {};  // the entries are those of the last change, for its undo

const libraryPath = (path = "") => `libraries/${encodeURIComponent(library())}${path}`;
const personPath = id => libraryPath(`/people/${encodeURIComponent(id)}`);
const inLibrary = path => link(`${path}?library=${encodeURIComponent(library())}`);
const afterThat = last => last ? `&after=${encodeURIComponent(last)}` : "";  // the page of a list that follows
const personLink = id => inLibrary(`people/${encodeURIComponent(id)}`);
// Address of a film where a face is in it, `seconds` from its begin.
const filmLink = ({job_id: job, face_id: face}, seconds) => link(`film/${encodeURIComponent(job)}#t=${seconds || 0}&face=${encodeURIComponent(face.split("/")[1])}`);

const called = one => one.label || T.unnamed;
const duration = seconds => seconds < 60 ? fill(TEXTS.units.seconds, {n: Math.round(10 * seconds) / 10}) : seconds < 3600 ? fill(TEXTS.units.minutesSeconds, {n: Math.floor(seconds / 60), s: Math.round(seconds % 60)})
  : fill(TEXTS.units.hoursMinutes, {n: Math.floor(seconds / 3600), m: Math.round(seconds % 3600 / 60)});
// How long or how often a person is seen: `pictures` are those of albums, which have no time.
const figure = one => [one.seconds ? fill(T.onScreen, {time: duration(one.seconds)}) : "", one.pictures ? some(one.pictures, T.inPictures) : ""].filter(Boolean).join(", ") || number(one.detections, TEXTS.units.detection);
const figures = one => fill(T.inFilms, {films: number(one.films, TEXTS.units.film), figure: figure(one)});
const percent = p => p > 0.999 ? T.percentOver : p < 0.001 ? T.percentUnder : `${p > 0.99 || p < 0.01 ? (100 * p).toFixed(1) : Math.round(100 * p)} %`;
const words = p => T.likely.find(([least]) => p >= least)[1];
const likelihood = p => fill(T.likelihood, {words: words(p), percent: percent(p)});
const founded = id => Number(id.split("-")[1]);  // milliseconds since 1970
const sameName = (a, b) => (a || "").normalize("NFC").toLocaleLowerCase() === (b || "").normalize("NFC").toLocaleLowerCase();

// The best picture of a person; `name`: what screen readers say, by default who it is.
function portrait(one, className = "face", name = one.label ? fill(T.portrait, {name: one.label}) : T.portraitUnnamed, side) {
  return facePicture(one.portrait && libraryPath("/" + one.portrait), name, className, side);
}

// Shows what the key of the session may do.
function showRights() {
  document.body.classList.toggle("reads", !may("submit"));
  document.body.classList.toggle("keeps", !may("admin"));
}

// Loads all people when the library has changed; returns whether it has.
async function loadEveryone() {
  await loadLibraries();  // one may have been begun or erased; an erased one is not asked for again
  if (!library()) { const before = version; everyone.clear(); version = ""; return before !== ""; }
  const now = versionOf(library());
  if (now + library() === version) return false;
  const found = new Map();
  let after = "";
  while (after !== null && found.size < MAX_PEOPLE) {
    const page = await requestJson(libraryPath(`/people?hidden=all&limit=${PAGE}${afterThat(after)}`));
    for (const one of page.people) found.set(one.person_id, one);
    after = page.next;
  }
  everyone.clear();
  for (const [id, one] of found) everyone.set(id, one);
  isCut = after !== null;
  version = now + library();
  return true;
}

// Sends corrections one after the other and offers their undo; a function among them makes one, or none, of the answer before it.
// Returns the last answer; null: it waits for a worker.
async function change(corrections, text) {
  const entries = [];
  let answer = null;
  try {
    for (const one of corrections) {
      const correction = typeof one === "function" ? one(answer) : one;
      if (!correction) continue;
      const response = await request(libraryPath("/corrections"), {method: "POST", headers: JSON_TYPE, body: JSON.stringify({change: correction})});
      answer = response.status === 202 ? null : await response.json();
      if (answer) entries.push(answer.entry_id);
    }
  } finally {
    if (entries.length) {
      lastEntries = entries;
      say(text, [T.undo, () => guard(takeBack(entries))]);
    }
    await whenChanged();
  }
  if (!entries.length && !answer) { if (corrections.length) say(T.did.waits); return null; }
  return answer;
}
async function takeBack(entries) {
  lastEntries = [];
  try {
    for (const entry of [...entries].reverse()) {
      await request(libraryPath("/corrections"), {method: "POST", headers: JSON_TYPE, body: JSON.stringify({change: {type: "undo", entry_id: entry}})});
    }
    say(T.did.undone);
  } finally { await whenChanged(); }
}
// Waits for an action; a refusal has a dialog, since the page's own line of problems goes with the next poll. null: it failed.
async function guard(promise) {
  try { return await promise; } catch (error) {
    if (error instanceof ResponseError && error.status !== 401) await tell(T.refused, named(error.message)); else showProblem(error);
    return null;
  }
}
// A message of the service with names for the ids of people.
const named = text => text.replace(/person-\d+-\d+-\d+/g, id => everyone.has(id) ? called(everyone.get(id)) : T.somebody);
const typing = node => node && (node.matches("input:not([type=checkbox], [type=radio], [type=file]), textarea, select"));

document.addEventListener("keydown", event => {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || typing(document.activeElement) || !lastEntries.length || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  guard(takeBack(lastEntries));
});

// A question with several answers: `buttons` are [value, text, class]; resolves to the value, "" when it is closed.
function dialog(title, content, buttons) {
  return new Promise(done => {
    const box = make("dialog", {className: "ask", "aria-labelledby": "dialog-title"}, make("form", {method: "dialog"}, make("h2", {id: "dialog-title"}, title), ...content,
      make("p", {className: "tools"}, ...buttons.map(([value, text, className]) => make("button", {className: "tool " + (className || ""), value}, text)))));
    box.addEventListener("close", () => { box.remove(); done(box.returnValue); });
    document.body.append(box);
    box.showModal();
  });
}
const tell = (title, text) => dialog(title, [make("p", {}, text)], [["", T.ok, "first"]]);
const figureOf = one => make("figure", {}, portrait(one, "shot", ""), make("figcaption", {}, make("b", {}, called(one)), make("span", {className: "soft"}, figures(one))));
const faces = people => make("div", {className: "figures"}, ...people.slice(0, 6).map(figureOf));

// Asks whether people are one, and merges them.
async function mergePeople(people) {
  if (people.length < 2) return null;
  const names = [...new Set(people.map(one => one.label).filter(Boolean))], two = people.length === 2;
  const radios = names.map((name, i) => make("label", {}, make("input", {type: "radio", name: "label", value: name, checked: !i}), name));
  const content = [faces(people), make("p", {className: "soft"}, T.mergeHelp), ...names.length > 1 ? [make("fieldset", {}, make("legend", {}, T.keepName), ...radios)] : []];
  const title = two && people.some(one => one.label) ? fill(T.merge, {a: called(people[0]), b: called(people[1])}) : fill(T.mergeMany, {n: people.length});
  const answer = await dialog(title, content, [["yes", T.mergeYes, "first"], ...two ? [["no", T.mergeNo]] : [], ["", T.cancel]]);
  if (answer === "no") return change([{type: "differ", one: people[0].person_id, other: people[1].person_id}], T.did.differ);
  if (answer !== "yes") return null;
  const chosen = names.length > 1 ? radios.map(label => label.firstChild).find(radio => radio.checked).value : names[0] || null;
  return merge(people, chosen);
}
function merge(people, label) {
  const [first, ...others] = people.map(one => one.person_id);
  return change([...others.map(other => ({type: "merge", person_id: first, other_id: other})),
    answer => answer && answer.people[0] && answer.people[0].label !== label ? {type: "name", person_id: answer.people[0].person_id, label} : null], T.did.merged);
}

// Gives a person a name; where somebody has it, asks whether they are the same person.
async function namePerson(one, text, chosen) {
  const label = text.trim().replace(/\s+/g, " ") || null;
  if (label === one.label) return null;
  const other = label && (chosen || [...everyone.values()].find(known => known.person_id !== one.person_id && sameName(known.label, label)));
  if (other) {
    const answer = await dialog(fill(T.taken, {name: other.label}), [faces([one, other]), make("p", {}, T.takenAsk)],
      [["yes", T.takenYes, "first"], ["no", fill(T.takenNo, {name: label})], ["", T.cancel]]);
    if (answer === "yes") return merge([other, one], other.label);
    if (answer !== "no") return null;
  }
  const did = !label ? T.did.unnamed : one.label ? T.did.renamed : T.did.named;
  return change([{type: "name", person_id: one.person_id, label}], fill(did, {name: label, before: called(one)}));
}
