
// Open questions, whether two people are one, as a queue: yes, no, skip, undo, by button or key.
const A = T.ask;
const skipped = new Set(), settled = new Set(), answered = [];  // pairs of faces; the answers, the latest last: [entry, pair]
let questions = [], openTotal = 0, asked = null, sent = Promise.resolve();  // answers are sent one after the other

const pairOf = one => `${one.face_id} ${one.other_face_id}`;
const knownOf = one => JSON.stringify([one.person, one.other]);
function setQuestions(suggestions, total) { questions = suggestions; openTotal = total; }
let about = "";  // the person whose questions come first
const nextQuestion = () => {
  const open = questions.filter(one => !skipped.has(pairOf(one)) && !settled.has(pairOf(one)));
  return open.find(one => about === one.person.person_id || about === one.other.person_id) || open[0];
};

function sideOf(person, seen, likeThis) {
  const times = seen.appearances[0], moment = times && times.end > 0, [picture] = seen.pictures;
  const time = picture ? fill(TEXTS.film.picture, {n: picture}) : moment ? formatTime(times.start) : "";
  const film = fileName(seen.source), where = make("a", {href: filmLink(seen, picture ? picture - 1 : moment ? times.start : 0)}, fill(time ? A.seenAt : A.seenIn, {film, time}));
  const others = make("div", {className: "others"});
  if (person.faces > 1) guard(requestJson(`${personPath(person.person_id)}/appearances?limit=7`).then(({films}) => {
    const more = films.filter(one => one.face_id !== seen.face_id).slice(0, 6);
    if (more.length) others.append(make("span", {className: "soft"}, A.more), make("span", {className: "strip"}, ...more.map(one => facePicture(libraryPath("/" + one.thumbnail), fileName(one.source), "face square"))));
  }));
  return make("figure", {}, facePicture(libraryPath("/" + likeThis), person.label ? fill(T.portrait, {name: person.label}) : T.portraitUnnamed, "shot", WIDEST),
    make("figcaption", {}, make("a", {className: "who", href: personLink(person.person_id)}, called(person)), make("span", {className: "soft"}, figures(person)), make("span", {className: "soft"}, where)), others);
}

const back = make("button", {className: "tool", type: "button", onclick: undoAnswer}, A.undo, " ", make("kbd", {"aria-hidden": "true"}, "U"));
// Shows the next question. While the same one is asked of people of whom nothing has changed, nothing is drawn anew.
function openQuestions() {
  const box = $("questions"), one = nextQuestion();
  const left = fill(A.left, {questions: number(openTotal, T.openQuestion)});
  back.disabled = !settled.size;
  if (one && asked && pairOf(one) === pairOf(asked) && knownOf(one) === knownOf(asked) && $("left")) { $("left").textContent = left; return; }
  const within = box.contains(document.activeElement);
  asked = one || null;
  const again = skipped.size ? make("p", {className: "soft"}, some(skipped.size, A.skipped) + " ", make("button", {className: "tool", type: "button", onclick: () => { skipped.clear(); openQuestions(); box.focus(); }}, A.again)) : null;
  if (!one) box.replaceChildren(make("div", {className: "empty"}, make("p", {id: "question"}, skipped.size ? A.noneLeft : A.none), again || "", settled.size ? back : ""));
  else {
    const button = (text, key, act, className = "") => make("button", {className: "tool " + className, type: "button", onclick: act}, text, " ", make("kbd", {"aria-hidden": "true"}, key));
    box.replaceChildren(make("h2", {id: "question"}, A.title), make("p", {className: "soft says", role: "status"}, fill(A.says, {likelihood: likelihood(one.probability)})),
      make("div", {className: "two"}, sideOf(one.person, one.seen, one.thumbnail), sideOf(one.other, one.other_seen, one.other_thumbnail)),
      make("div", {className: "answers", role: "group", "aria-label": A.answers}, button(A.yes, "Y", () => answer(true), "first"), button(A.no, "N", () => answer(false)), button(A.skip, "S", skip), back),
      make("p", {id: "left", className: "soft"}, left), again || "", make("p", {className: "soft keys"}, A.keys));
  }
  if (within) box.focus({preventScroll: true});
}
// Shows the next question at once; the answer is sent meanwhile.
function answer(same) {
  const one = asked;
  if (!one) return;
  settled.add(pairOf(one));
  openQuestions();
  const said = same ? {type: "same", face_id: one.face_id, other_face_id: one.other_face_id} : {type: "differ", one: one.person.person_id, other: one.other.person_id};
  sent = sent.then(async () => {
    const applied = await guard(change([said], same ? T.did.same : T.did.differ).catch(error => { settled.delete(pairOf(one)); openQuestions(); throw error; }));
    if (applied) answered.push([applied.entry_id, pairOf(one)]);
  });
}
function skip() {
  if (!asked) return;
  skipped.add(pairOf(asked));
  openQuestions();
}
function undoAnswer() {
  sent = sent.then(async () => {
    const [entry, pair] = answered.pop() || [];
    if (!entry) return;
    settled.delete(pair);
    await guard(takeBack([entry]));
    openQuestions();
  });
}
$("questions").addEventListener("keydown", event => {
  const press = may("submit") && {y: () => answer(true), n: () => answer(false), s: skip, u: undoAnswer}[event.key.toLowerCase()];
  if (!press || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  event.preventDefault();
  press();
});
