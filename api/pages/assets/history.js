
// What was changed in a library, the latest first, each with its undo.
const H = T.log;
const PER_PAGE = 50;
let logPages = 1;

const whoIs = id => everyone.has(id) ? called(everyone.get(id)) : T.gone;
const subject = id => id.startsWith("person-") ? whoIs(id) : T.somebody;
function described(one) {
  switch (one.type) {
    case "name": return one.label ? fill(H.name, {who: everyone.has(one.person_id) && everyone.get(one.person_id).label !== one.label ? whoIs(one.person_id) : T.somebody, name: one.label}) : fill(H.nameless, {who: whoIs(one.person_id)});
    case "merge": return fill(H.merge, {a: whoIs(one.person_id), b: whoIs(one.other_id)});
    case "joined": return fill(everyone.has(one.other_id) ? H.joinedBoth : H.joined, {a: whoIs(one.person_id), b: whoIs(one.other_id), likelihood: likelihood(one.probability)});
    case "split": return fill(H.split, {films: number(one.faces.length, TEXTS.units.film), who: whoIs(one.person_id)});
    case "move": return fill(H.move, {who: whoIs(one.person_id)});
    case "differ": return fill(H.differ, {a: subject(one.one), b: subject(one.other)});
    case "same": return H.same;
    case "hide": return fill(one.hidden === false ? H.show : H.hide, {who: whoIs(one.person_id)});
    case "divide": return fill(H.divide, {detections: number(one.spots.length, TEXTS.units.detection)});
    default: return H.undoing;
  }
}
// Ids of the people and faces that a change is about.
const subjects = one => [one.person_id, one.other_id, one.one, one.other, one.face_id, one.other_face_id].filter(Boolean);
function pictureOf(id) {
  if (!id.startsWith("person-")) return facePicture(libraryPath(`/faces/${id}/thumbnail`), "");
  const who = everyone.get(id);
  return who ? make("a", {href: personLink(id), "aria-label": called(who)}, portrait(who, "face", "")) : make("span", {className: "face"});
}
const capital = text => text.charAt(0).toLocaleUpperCase() + text.slice(1);

async function openHistory() {
  let corrections = [], next = "";
  if (library()) for (let page = 0; page < logPages && next !== null; page++) {
    const part = await requestJson(libraryPath(`/corrections?limit=${PER_PAGE}${afterThat(next)}`));
    corrections = corrections.concat(part.corrections);
    next = part.next;
  }
  const undone = new Set(corrections.filter(one => one.change.type === "undo").map(one => one.change.entry_id)), listed = new Set(corrections.map(one => one.entry_id));
  const focused = document.activeElement, name = $("history").contains(focused) ? focused.dataset.name : null;
  const rows = corrections.filter(({change: {type, entry_id: of}}) => type !== "undo" || !listed.has(of)).map(one => {
    const text = capital(described(one.change)), back = undone.has(one.entry_id);
    const undo = one.change.type === "undo" ? null : back ? make("span", {className: "badge"}, H.undone)
      : make("button", {className: "tool", type: "button", "aria-label": fill(H.undo, {what: text}), onclick: () => guard(takeBack([one.entry_id]))}, T.undo);
    if (undo && !back) undo.dataset.name = one.entry_id;
    return make("li", {className: back ? "card back" : "card"}, make("span", {className: "pictures"}, ...subjects(one.change).slice(0, 2).map(pictureOf)),
      make("span", {className: "what"}, text, make("span", {className: "soft"}, when(one.at), one.change.type === "joined" ? " · " + H.itself : one.by ? " · " + fill(H.by, {key: one.by}) : "")), undo);
  });
  const more = next ? [make("button", {className: "tool", type: "button", onclick: () => { logPages++; guard(openHistory()); }}, H.more)] : [];
  $("history").replaceChildren(rows.length ? make("ol", {className: "log"}, ...rows) : make("p", {className: "empty"}, H.none), ...more);
  if (name) ([...$("history").querySelectorAll("[data-name]")].find(node => node.dataset.name === name) || $("history")).focus({preventScroll: true});
}
