
// A dialog that looks through the media directories of the service; resolves to the chosen path, or null.
const LAST_DIRECTORY = "faces-directory";
const bytes = n => {
  const [kilo, mega, giga] = TEXTS.units.bytes;
  return n < 1e6 ? fill(kilo, {n: Math.ceil(n / 1e3)}) : n < 1e9 ? fill(mega, {n: (n / 1e6).toFixed(n < 1e7 ? 1 : 0)}) : fill(giga, {n: (n / 1e9).toFixed(1)});
};

const KIND_ICONS = {directory: "M3 7V5h6l2 2h10v12H3z", film: "M4 4h16v16H4zM8 4v16M16 4v16M4 12h16", picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4", up: "M12 20V5M5 12l7-7 7 7"};
const kindIcon = kind => makeSvg("svg", {class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true"}, makeSvg("path", {d: KIND_ICONS[kind]}));

function pick() {
  const box = $("picker");
  return new Promise(done => {
    box.returnValue = "";
    box.onclose = () => done(box.returnValue || null);
    box.replaceChildren();
    box.showModal();
    look(localStorage.getItem(LAST_DIRECTORY) || "").catch(() => look("")).catch(error => { box.close(); showRefusal(error); });
  });
}
async function look(path) {
  const found = await requestJson("media?" + new URLSearchParams({path})), box = $("picker");
  localStorage.setItem(LAST_DIRECTORY, found.path);
  const go = to => look(to).catch(error => { $("picker-problem").hidden = false; $("picker-problem").textContent = error.message; });
  const row = one => make("li", {}, make("button", {className: "entry", type: "button", onclick: () => one.kind === "directory" ? go(one.path) : box.close(one.path)},
    kindIcon(one.kind), make("span", {className: "entry-name"}, one.name),
    make("span", {className: "soft"}, one.kind === "directory" ? TEXTS.home.directory : `${TEXTS.home[one.kind]}, ${bytes(one.size)}`)));
  const pictures = found.entries.some(one => one.kind === "picture");
  fillNode(box, make("div", {className: "head"}, make("h2", {id: "picker-head"}, TEXTS.home.picker), make("button", {className: "tool", type: "button", onclick: () => box.close("")}, TEXTS.shell.cancel)),
    make("p", {className: "soft path"}, found.path || TEXTS.home.roots), make("p", {id: "picker-problem", className: "error", role: "alert", hidden: true}),
    make("ul", {className: "entries"}, found.parent === null ? null : make("li", {}, make("button", {className: "entry", type: "button", onclick: () => go(found.parent)}, kindIcon("up"), TEXTS.home.up)), ...found.entries.map(row)),
    found.entries.length ? null : make("p", {className: "soft"}, TEXTS.home.emptyFolder),
    found.truncated ? make("p", {className: "soft"}, fill(TEXTS.home.truncated, {n: found.entries.length})) : null,
    pictures && found.path ? make("p", {}, make("button", {className: "tool", type: "button", onclick: () => box.close(found.path)}, TEXTS.home.pick)) : null);
  const first = box.querySelector(".entry") || box.querySelector("button");
  first.focus();
}
