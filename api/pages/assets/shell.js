
// The shell of every page: header with navigation, choice of the library, theme, key, health; what pages share.
const LIBRARY = "faces-library";
const HEALTH_SECONDS = 10;
const PAGES = [["", "films"], ["people", "people"], ["operations", "operations"]];
const ICON = "M3 9V5a2 2 0 0 1 2-2h4M15 3h4a2 2 0 0 1 2 2v4M21 15v4a2 2 0 0 1-2 2h-4M9 21H5a2 2 0 0 1-2-2v-4M9 9.5v1.2M15 9.5v1.2M8.5 15c1.8 1.7 5.2 1.7 7 0";
let libraries = [], chosenLibrary = null, currentPage = "", whenLibraryChanges = () => {}, session = null;

const link = path => ROOT + path;  // address of a page
const ago = seconds => seconds < 90 ? fill(TEXTS.units.seconds, {n: Math.round(seconds)}) : seconds < 5400 ? fill(TEXTS.units.minutes, {n: Math.round(seconds / 60)})
  : seconds < 172800 ? fill(TEXTS.units.hours, {n: (seconds / 3600).toFixed(1)}) : fill(TEXTS.units.days, {n: Math.round(seconds / 86400)});
const when = time => { const at = new Date(time); return make("time", {dateTime: at.toISOString(), title: at.toLocaleString()}, fill(TEXTS.units.ago, {time: ago(Math.max(0, Date.now() - at) / 1000)})); };
const library = () => chosenLibrary;  // name of the chosen one; null: there is none

// A line of facts, with a dot between those that stand in one line.
const factsLine = (...facts) => make("span", {className: "facts"}, ...facts.filter(Boolean).map(fact => make("span", {}, fact)));

// Draws the header. `current`: name of the page in PAGES, or "documents".
function drawHeader(current) {
  const here = name => name === current ? {"aria-current": "page"} : {};
  const tab = ([path, name]) => make("a", {href: link(path), ...here(name)}, TEXTS.shell[name]);
  const icon = makeSvg("svg", {viewBox: "0 0 24 24", "aria-hidden": "true"}, makeSvg("path", {d: ICON}));
  document.body.prepend(make("a", {className: "skip", href: "#main"}, TEXTS.shell.skip), make("header", {className: "shell"}, make("div", {className: "wide"},
    make("a", {className: "brand", href: link("")}, icon, TEXTS.shell.name), make("nav", {"aria-label": TEXTS.shell.pages}, ...PAGES.map(tab)),
    make("span", {className: "tools"},
      make("label", {id: "library-box", hidden: true}, TEXTS.shell.library, make("select", {id: "library", onchange: () => chooseLibrary($("library").value)})),
      make("a", {className: "tool quiet", href: link("docs"), ...here("documents")}, TEXTS.shell.documents),
      make("button", {id: "forget", className: "tool quiet", type: "button", hidden: true, onclick: forgetKey}, TEXTS.shell.forget),
      make("button", {id: "theme", className: "tool quiet", type: "button"})))),
    make("p", {id: "health", className: "banner", role: "status", hidden: true}));
  theme(localStorage);
}

// Draws the page's shell and fills the texts in; `load`: loads the page's content, called now and again when a key was entered.
function startPage(current, load) {
  currentPage = current;
  fillTexts(document);
  drawHeader(current);
  $("main").tabIndex = -1;  // the focus goes there when what had it is gone
  document.body.append(make("p", {id: "said", className: "said", role: "status"}));
  const begin = async () => {
    $("forget").hidden = !sessionStorage.getItem(KEY);
    try { await beginSession(); await loadLibraries(); await load(); showProblem(null); } catch (error) { showProblem(error); }
  };
  onKey = begin;
  repeat(HEALTH_SECONDS, showHealth, "health");
  showHealth();
  begin();
}

// What the key may do, and the cookie that lets <img> and <video> load; it is renewed before it expires.
async function beginSession() {
  const begun = await post("session");
  if (begun.needs_key) { showKeyForm(""); throw Object.assign(new ResponseError(TEXTS.key.title), {status: 401}); }
  session = begun;
  $("forget").title = session.name ? fill(TEXTS.shell.key, {name: session.name, scopes: session.scopes.join(", ")}) : "";
  awaitPictures();  // those that were refused while there was no cookie, or an old one
  clearTimeout(beginSession.timer);
  if (session.ticket_seconds) beginSession.timer = setTimeout(() => beginSession().catch(showProblem), 500 * session.ticket_seconds);
}
const may = scope => Boolean(session) && (session.scopes.includes(scope) || session.scopes.includes("admin"));
async function forgetKey() {
  sessionStorage.removeItem(KEY);
  try { await request("session", {method: "DELETE"}); } finally { location.reload(); }
}

// Calls `act` every so many seconds while the page is visible and no key is asked for, never twice at once. `of`: whose problems it shows.
function repeat(seconds, act, of) {
  let busy = false;
  return setInterval(async () => {
    if (busy || document.hidden || isLocked()) return;
    busy = true;
    try { if (session) await act(); else await onKey(); showProblem(null, of); } catch (error) { showProblem(error, of); } finally { busy = false; }
  }, 1000 * seconds);
}

async function showHealth() {
  let missing = [];
  try { missing = (await requestJson("health")).missing || []; } catch (error) { if (!(error instanceof ResponseError)) throw error; }
  const text = missing.length ? fill(TEXTS.shell.noWorker, {stages: missing.join(", ")}) : "";
  $("health").hidden = !text;
  if ($("health").textContent !== text) $("health").textContent = text;
}

// Loads the libraries; the chosen one is that of the address (?library=), else the last chosen, else the first. Where the one of the
// address does not exist, or the chosen one was erased, no other takes its place: the page says so and offers those there are.
async function loadLibraries() {
  libraries = (await requestJson("libraries")).libraries;
  const names = libraries.map(one => one.name), asked = new URLSearchParams(location.search).get("library") || chosenLibrary;
  if (asked && !names.includes(asked)) { offerLibraries(asked, names); throw Object.assign(new ResponseError(fill(TEXTS.shell.noSuchLibrary, {library: asked})), {status: 404}); }
  if ($("no-library")) location.reload();  // it is there now
  chosenLibrary = asked || names.find(name => name === localStorage.getItem(LIBRARY)) || names[0] || null;
  if ([...$("library").options].map(one => one.value).join() !== names.join()) $("library").replaceChildren(...names.map(name => make("option", {value: name}, name)));
  $("library").value = chosenLibrary || "";
  $("library-box").hidden = names.length < 2;
}
function offerLibraries(asked, names) {
  const shown = names.join("\n"), before = $("no-library");
  if (before && before.dataset.shown === shown) return;
  const page = link((PAGES.find(([, name]) => name === currentPage) || [""])[0]), offer = name => make("a", {className: "tool", href: `${page}?library=${encodeURIComponent(name)}`}, name);
  const box = make("section", {id: "no-library", className: "empty", role: "alert"}, make("h1", {}, fill(TEXTS.shell.noSuchLibrary, {library: asked})), make("p", {}, names.length ? TEXTS.shell.otherLibraries : TEXTS.people.noLibrary),
    make("p", {className: "offers"}, ...names.length ? names.map(offer) : [make("a", {className: "tool first", href: link("")}, TEXTS.people.toFilms)]));
  box.dataset.shown = shown;
  if (before) before.replaceWith(box); else $("main").prepend(box);
  $("main").classList.add("nowhere");  // the rest would be about another library
}
const versionOf = name => (libraries.find(one => one.name === name) || {}).version;
function chooseLibrary(name) {
  chosenLibrary = name;
  localStorage.setItem(LIBRARY, name);
  const address = new URL(location.href);
  address.searchParams.delete("library");
  history.replaceState(null, "", address);
  whenLibraryChanges(name);
}
const onLibrary = act => { whenLibraryChanges = act; };

// Shows what went wrong in the page's element #problem; null: nothing. A missing key has a form of its own.
// What an action was refused for stays until the next action; a problem of the page, until the page could be loaded.
const problems = {page: "", action: "", library: "", health: ""};
function showProblem(error, of = "page") {
  const box = $("problem");
  if (!box || isLocked()) return;
  problems[of] = !error || error.status === 401 ? "" : !(error instanceof ResponseError) ? unexpected(error)
    : error.status === 403 ? fill(TEXTS.shell.forbidden, {detail: error.message}) : error.message;
  const text = Object.values(problems).find(Boolean) || "";
  box.hidden = !text;
  if (box.textContent !== text) box.textContent = text;
}
// fetch throws a TypeError where there is no connection; another error is a fault of the page, and the console shows it.
function unexpected(error) {
  if (!(error instanceof TypeError && /fetch|network/i.test(error.message))) console.error(error);
  return TEXTS.shell.unreachable;
}

const showRefusal = error => showProblem(error, error instanceof ResponseError ? "action" : "page");  // without a connection, it is the page's
// Runs an action of a button: it cannot be pressed again until that is done; what went wrong is shown.
async function act(button, action) {
  const focused = document.activeElement === button || button.form && button.form.contains(document.activeElement), row = button.closest("li, tr, form") || button, list = row.parentElement, place = [...list.children].indexOf(row);
  button.disabled = true;
  showProblem(null, "action");
  try { await action(); } catch (error) { showRefusal(error); } finally { button.disabled = false; }
  if (!focused || document.activeElement !== document.body) return;
  const again = button.isConnected ? button : controlNamed(document, button.dataset.name || ""), near = list.isConnected && list.children[Math.min(place, list.children.length - 1)];
  (again || near && near.querySelector("a, button") || near && near.matches("a, button") && near || $("main")).focus();
}
// The control of a name (data-name), which ends with what it is about; where it is gone, the one that opens this.
const controlNamed = (part, name) => {
  const of = wanted => [...part.querySelectorAll("[data-name]")].find(node => node.dataset.name === wanted);
  return of(name) || of("open " + name.split(" ").pop());
};
// Draws a part of the page anew: the focus stays on the control of the same name.
function redraw(part, draw) {
  const focused = document.activeElement, name = focused && part.contains(focused) ? focused.dataset.name : "";
  draw();
  const again = name && !part.contains(document.activeElement) && controlNamed(part, name);
  if (again) again.focus({preventScroll: true});
}

// Says what was done, for eyes and screen readers; `undo`, if any, is offered beside it: [text, action].
function say(text, undo) {
  $("said").replaceChildren(text, ...undo ? [make("button", {className: "tool", type: "button", onclick: () => { $("said").replaceChildren(); undo[1](); }}, undo[0])] : []);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("said").replaceChildren(), undo ? 15000 : 6000);
}

// Asks before something that cannot be undone; resolves to whether it was confirmed.
function ask(title, text, yes) {
  return new Promise(done => {
    const box = make("dialog", {className: "ask", "aria-labelledby": "ask-title"}, make("form", {method: "dialog"}, make("h2", {id: "ask-title"}, title), make("p", {}, text),
      make("p", {className: "tools"}, make("button", {className: "tool", value: ""}, TEXTS.shell.cancel), make("button", {className: "tool danger", value: "yes"}, yes))));
    box.addEventListener("close", () => { box.remove(); done(box.returnValue === "yes"); });
    document.body.append(box);
    box.showModal();
  });
}

// Address of a picture or film of the service; where it is gone, the answer is empty, and no error of the page.
const mediaLink = (path, width) => `${link(path)}?blank=1${width ? "&width=" + Math.min(width, WIDEST) : ""}`;
const WIDEST = 256;  // pixels of the pictures of faces
const SIDES = {face: 64, shot: 176};  // CSS pixels of a picture, by the first of its classes
// Pictures are loaded when they come into view: at first only those that are seen, later some before they are.
const NEAR = "80px", AHEAD = "1200px";  // of the window
const watching = margin => new IntersectionObserver((entries, observer) => {
  for (const {target, isIntersecting} of entries) if (isIntersecting) {
    observer.unobserve(target);
    if (target.src === SILHOUETTE) { target.srcset = target.dataset.srcset; target.src = target.dataset.src; }
  }
}, {rootMargin: margin});
let arriving = watching(NEAR);
const awaitPictures = () => { for (const picture of document.querySelectorAll("img[data-src]")) if (picture.src === SILHOUETTE) arriving.observe(picture); };
addEventListener("scroll", () => { arriving = watching(AHEAD); awaitPictures(); }, {once: true, passive: true});
// A round or square picture of a face, in the width at which it is shown. `path`: of the service, or the picture itself (data:); `name`
// is what screen readers say, empty where the name stands beside it.
function facePicture(path, name, className = "face", side = SIDES[className.split(" ")[0]]) {
  if (!path) return make("span", {className, role: name ? "img" : "presentation", "aria-label": name || ""});
  if (path.startsWith("data:")) return make("img", {className, src: path, alt: name, decoding: "async"});
  const picture = make("img", {className, src: SILHOUETTE, alt: name, decoding: "async"});
  picture.dataset.src = mediaLink(path, side);
  picture.dataset.srcset = `${mediaLink(path, side)} 1x, ${mediaLink(path, 2 * side)} 2x`;
  arriving.observe(picture);
  return picture;
}
