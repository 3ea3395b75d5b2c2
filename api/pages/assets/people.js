
// The people of a library: one card each, to name, choose, merge and hide.
const CHUNK = 48;  // cards that are added at a time, as the page is scrolled
const POLL_SECONDS = 4;
const cards = new Map(), doubts = new Map(), chosen = new Set();  // cards and open questions by person
let list = [], room = CHUNK, last = null;  // people who match, how many of them have a card, the last one chosen

const by = {
  films: (a, b) => b.films - a.films || b.seconds - a.seconds || b.detections - a.detections,
  time: (a, b) => b.seconds - a.seconds || b.detections - a.detections,
  newest: (a, b) => founded(b.person_id) - founded(a.person_id),
  name: (a, b) => !a.label - !b.label || (a.label || "").localeCompare(b.label || ""),
  doubt: (a, b) => (doubts.get(b.person_id) || 0) - (doubts.get(a.person_id) || 0) || by.films(a, b),
};
const shows = {all: one => !one.hidden, named: one => !one.hidden && one.label, unnamed: one => !one.hidden && !one.label, hidden: one => one.hidden};

function buildCard(id) {
  const person = () => everyone.get(id);
  const box = make("input", {type: "checkbox", onchange: () => choose(id, box.checked)});
  const shot = make("a", {className: "link", href: personLink(id), draggable: false}), name = make("button", {type: "button", className: "name"});
  const about = make("span", {className: "soft"}), badges = make("span", {className: "badges"});
  const node = make("li", {className: "card", draggable: true}, shot, make("label", {className: "pick"}, box), make("div", {className: "text"}, name, about, badges));
  name.addEventListener("click", () => { node.draggable = false; editName(name, person(), () => { node.draggable = true; name.focus(); }); });
  node.dataset.id = id;
  drags(node, id);
  return {node, box, shot, name, about, badges, drawn: ""};
}
// Draws what has changed of a card; its elements stay, and with them the focus.
function drawCard(card, one) {
  const questions = doubts.get(one.person_id) || 0, state = JSON.stringify([one, questions]);
  if (card.drawn === state) return;
  const {portrait: before} = card.drawn ? JSON.parse(card.drawn)[0] : {};
  card.drawn = state;
  if (before !== one.portrait || !card.shot.firstChild) card.shot.replaceChildren(Object.assign(portrait(one, "shot", ""), {draggable: false}));  // the card is dragged, not the picture
  card.shot.setAttribute("aria-label", fill(T.open, {name: called(one), figures: figures(one)}));
  card.box.setAttribute("aria-label", one.label ? fill(T.choose, {name: one.label}) : fill(T.chooseUnnamed, {figures: figures(one)}));
  card.name.replaceChildren(make("span", {}, one.label || (may("submit") ? T.addName : T.unnamed)), pencil());
  card.name.disabled = !may("submit");
  card.name.classList.toggle("none", !one.label);
  card.name.setAttribute("aria-label", one.label ? fill(T.rename, {name: one.label}) : fill(T.nameFor, {figures: figures(one)}));
  card.about.textContent = `${number(one.films, TEXTS.units.film)} · ${figure(one)}`;
  card.badges.replaceChildren(...questions ? [make("a", {className: "badge fair", href: "#questions", onclick: () => { about = one.person_id; }}, number(questions, T.question))] : [], ...one.hidden ? [make("span", {className: "badge"}, T.hidden)] : []);
}
const pencil = () => makeSvg("svg", {viewBox: "0 0 16 16", "aria-hidden": "true"}, makeSvg("path", {d: "M11 2.5l2.5 2.5L5.5 13l-3 .5.5-3zM9.5 4l2.5 2.5"}));

// Puts the cards of the people who match in order. Cards that stay keep their elements and the focus.
function arrange() {
  const text = $("text").value.trim().toLocaleLowerCase(), shown = shows[$("filter").value];
  list = [...everyone.values()].filter(one => shown(one) && (!text || (one.label || "").toLocaleLowerCase().includes(text))).sort(by[$("sort").value]);
  const gallery = $("gallery"), focused = document.activeElement, within = gallery.contains(focused) && focused.closest(".card");
  const place = within ? [...gallery.children].indexOf(within) : -1;
  for (const id of cards.keys()) if (!everyone.has(id)) { cards.delete(id); chosen.delete(id); }
  let cursor = gallery.firstChild;
  for (const one of list.slice(0, room)) {
    if (!cards.has(one.person_id)) cards.set(one.person_id, buildCard(one.person_id));
    const card = cards.get(one.person_id);
    drawCard(card, one);
    if (card.node === cursor) cursor = cursor.nextSibling; else gallery.insertBefore(card.node, cursor);
  }
  while (cursor) { const next = cursor.nextSibling; cursor.remove(); cursor = next; }
  if (within && document.activeElement !== focused) {
    if (gallery.contains(focused)) focused.focus({preventScroll: true});
    else if (typing(focused) && !focused.readOnly) { $("people").focus({preventScroll: true}); say(T.goneWhile); }  // not on a card: what is typed on would be its keys
    else { const near = gallery.children[Math.min(place, gallery.children.length - 1)]; (near ? near.querySelector(".link") : $("text")).focus({preventScroll: true}); }
  }
  const total = [...everyone.values()].filter(shows[$("filter").value === "hidden" ? "hidden" : "all"]).length;
  const people = number(total, TEXTS.units.person);
  let counted = list.length === total ? people : fill(T.shown, {n: list.length, people});
  if (isCut) counted += T.cut;
  if ($("shown").textContent !== counted) $("shown").textContent = counted;
  showNobody();
  showChosen();
  observeAgain();
}
function showNobody() {
  $("nobody").hidden = list.length > 0;
  $("filters").hidden = $("keys").hidden = !everyone.size;
  if (!list.length) $("nobody").replaceChildren(everyone.size ? T.nobody : library() ? T.nobodyYet : T.noLibrary, ...everyone.size ? [] : [make("p", {}, make("a", {className: "tool first", href: link("")}, T.toFilms))]);
}
const end = new IntersectionObserver(entries => {
  if (!entries.at(-1).isIntersecting || room >= list.length) return;
  room += CHUNK;
  arrange();
}, {rootMargin: "1500px"});
// The observer reports changes, and the state when it begins: where the end of the page is still near, more cards are added.
function observeAgain() { end.unobserve($("more")); end.observe($("more")); }

function choose(id, on) {
  on ? chosen.add(id) : chosen.delete(id);
  last = id;
  const card = cards.get(id);
  if (card) { card.box.checked = on; card.node.classList.toggle("on", on); }
  showChosen();
}
const people = ids => [...ids].map(id => everyone.get(id)).filter(Boolean);
function clearChosen() {
  const within = $("chosen").contains(document.activeElement), card = [last, ...chosen].map(id => cards.get(id)).find(one => one && one.node.isConnected);
  for (const id of [...chosen]) choose(id, false);
  if (within) (card ? card.box : $("text")).focus({preventScroll: true});
}
// The bar of what can be done with those who are chosen; its buttons stay while it is shown.
const bar = {
  count: make("b", {role: "status"}),
  merge: make("button", {type: "button", className: "tool first", onclick: () => mergeChosen()}, T.mergeChosen),
  hide: make("button", {type: "button", className: "tool", onclick: () => hide(people(chosen))}, T.hide),
  clear: make("button", {type: "button", className: "tool quiet", onclick: clearChosen}, T.clear),
};
$("chosen").append(...Object.values(bar));
function showChosen() {
  $("chosen").hidden = !chosen.size;
  document.body.classList.toggle("choosing", chosen.size > 0);
  const text = fill(T.chosen, {n: chosen.size});
  if (bar.count.textContent !== text) bar.count.textContent = text;
  bar.merge.disabled = chosen.size < 2;
  bar.hide.textContent = people(chosen).every(one => one.hidden) ? T.show : T.hide;
}
async function mergeChosen() {
  if (chosen.size > 1 && await guard(mergePeople(people(chosen)))) clearChosen();
}
async function hide(ones) {
  if (!ones.length) return;
  const hidden = !ones.every(one => one.hidden);
  clearChosen();
  await guard(change(ones.map(one => ({type: "hide", person_id: one.person_id, hidden})), some(ones.length, hidden ? T.did.hidden : T.did.shown)));
}

// Dragging a card onto another merges them; those who are chosen come along.
function drags(node, id) {
  node.addEventListener("dragstart", event => { event.dataTransfer.setData("application/x-person", id); event.dataTransfer.effectAllowed = "link"; node.classList.add("dragged"); });
  node.addEventListener("dragend", () => node.classList.remove("dragged"));
  const mine = event => event.dataTransfer.types.includes("application/x-person") && !node.classList.contains("dragged");
  node.addEventListener("dragover", event => { if (mine(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "link"; node.classList.add("under"); } });
  node.addEventListener("dragleave", event => { if (!node.contains(event.relatedTarget)) node.classList.remove("under"); });
  node.addEventListener("drop", event => {
    node.classList.remove("under");
    if (!mine(event)) return;
    event.preventDefault();
    const dragged = event.dataTransfer.getData("application/x-person"), with_ = chosen.has(dragged) ? chosen : [dragged];
    guard(mergePeople(people(new Set([id, ...with_]))));
  });
}

// Keys on a card: arrows move to the same control of another card.
$("gallery").addEventListener("keydown", event => {
  const card = event.target.closest(".card"), all = [...$("gallery").children], from = all.indexOf(card);
  if (!card || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const columns = Math.max(1, all.findIndex(node => node.offsetTop > all[0].offsetTop)), step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns}[event.key];
  const id = card.dataset.id, keys = {n: () => cards.get(id).name.click(), x: () => choose(id, !chosen.has(id)), m: () => mergeChosen(), h: () => hide(chosen.size ? people(chosen) : people([id]))};
  const press = may("submit") && keys[event.key.toLowerCase()];
  if (step) {
    const to = all[from + step], same = [".link", "input[type=checkbox]", ".name"].find(kind => event.target.matches(kind)) || ".link";
    if (to) { to.querySelector(same).focus(); to.scrollIntoView({block: "nearest"}); }
  } else if (press) press(); else return;
  event.preventDefault();
});

const views = {people: arrange, questions: openQuestions, photograph: openPhotograph, history: openHistory};
let view = "";
async function showView(force) {
  const wanted = views[location.hash.slice(1)] ? location.hash.slice(1) : "people", moved = view && view !== wanted;
  if (wanted === view && !force) return;
  view = wanted;
  for (const name of Object.keys(views)) $(name).hidden = name !== view;
  for (const tab of $("views").children) tab.dataset.view === view ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current");
  await views[view]();
  if (moved && view !== "people") $(view).focus({preventScroll: true});
}
async function refresh(force) {
  if (!await loadEveryone() && force !== true) return;
  doubts.clear();
  const {suggestions, total} = library() ? await requestJson(libraryPath("/suggestions?limit=200")) : {suggestions: [], total: 0};
  for (const {person, other} of suggestions) for (const {person_id: id} of [person, other]) doubts.set(id, (doubts.get(id) || 0) + 1);
  setQuestions(suggestions, total);
  $("open-questions").hidden = !total;
  $("open-questions").textContent = total;
  if (view === "people") arrange(); else if (view) await views[view]();
}
const options = texts => Object.entries(texts).map(([value, text]) => make("option", {value}, text));
$("sort").append(...options(T.sorts));
$("filter").append(...options(T.filters));
for (const id of ["text", "filter", "sort"]) $(id).addEventListener("input", () => { room = CHUNK; arrange(); });
addEventListener("hashchange", () => guard(showView()));
onLibrary(() => guard(refresh(true)));
whenChanged = refresh;
startPage("people", async () => { showRights(); await refresh(true); await showView(true); });
repeat(POLL_SECONDS, refresh);
