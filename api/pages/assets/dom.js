const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";  // a namespace, never fetched

// All elements are made here: texts become text nodes, never markup.
function make(name, set, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(set || {})) key in node ? node[key] = value : node.setAttribute(key, value);
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}
const fillNode = (node, ...children) => node.replaceChildren(...children.filter(child => child !== null && child !== undefined));
// Replaces the children of an element by those built for items, in slices, so that the page answers in between.
const SLICE = 60;
async function fillSlowly(node, items, build) {
  const turn = node.turn = {};
  node.replaceChildren(...items.slice(0, SLICE).map(build));
  for (let start = SLICE; start < items.length; start += SLICE) {
    await new Promise(done => setTimeout(done));
    if (node.turn !== turn) return;  // it is being filled anew
    node.append(...items.slice(start, start + SLICE).map(build));
  }
}
function makeSvg(name, set, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(set)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const formatTime = seconds => {
  const s = Math.round(10 * seconds) / 10;
  const whole = Math.floor(s), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, two = n => String(n).padStart(2, "0");
  const rest = (s - whole).toFixed(1).slice(1);
  return (h ? h + ":" + two(m) : m) + ":" + two(whole % 60) + (rest === ".0" ? "" : rest);
};
// The last part of an address's path, decoded; as it is where that is not possible.
const lastPart = path => { const part = path.split("/").pop(); try { return decodeURIComponent(part); } catch { return part; } };
// A name of a file that may be broken after its parts, and not within a word.
const breakable = name => name.split(/(?<=[_.\-/])/).flatMap(part => [part, make("wbr")]).slice(0, -1);
const fileName = path => path.split("/").filter(Boolean).pop() || path;

// Switches between the light and the dark theme; starts with the system's, or the one kept in `storage`.
function theme(storage) {
  const dark = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement;
  let chosen = storage && storage.getItem("faces-theme") || "";
  const other = () => (chosen || (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
  const show = () => {
    root.style.colorScheme = chosen;
    $("theme").textContent = TEXTS.shell[other()];
  };
  $("theme").addEventListener("click", () => {
    chosen = other();
    if (storage) storage.setItem("faces-theme", chosen);
    show();
  });
  dark.addEventListener("change", show);
  show();
}
