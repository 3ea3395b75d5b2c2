
// The player: a film, a picture, or (where the browser can show neither) the moments at which faces were seen.
// `player` has time, duration, playing, seek, toggle; `onTime` is called whenever the shown moment changes.
const SHORT_SECONDS = 5, LONG_SECONDS = 10;  // of the keys
const HOLD_SECONDS = 0.4;  // a box stays beside its sample for this time where the next sample does not continue it
const MOST_LETTERS = 24;  // of a name beside a box; the whole one stands below the film
const NUDGE_SECONDS = 0.001;  // so that rounding does not show the frame before
const MOMENT_SECONDS = 1.2;  // of each moment, where there is no film to play
const REOPEN_SECONDS = 2, REOPEN_TRIES = 60;  // of a film that stopped loading
const video = $("video");
const player = {mode: "film", time: 0, target: 0, duration: 0, fps: 25, interval: 2, moments: [], playing: false, timer: 0, opened: false, reopened: 0, resume: null};
let onTime = () => {}, whenUnplayable = () => {}, isGone = async () => false;  // the last: whether the film was deleted

player.seek = time => {
  const to = player.target = Math.max(0, Math.min(time, player.duration));
  if (player.mode === "film") {
    video.currentTime = Math.min(to + NUDGE_SECONDS, player.duration || to);
    player.show(to);
  } else player.show(player.mode === "moments" ? nearestMoment(to) : 0);
};
player.show = time => { player.time = time; onTime(time); };
player.pause = () => { if (player.mode === "film") video.pause(); else if (player.playing) player.toggle(); };
player.toggle = () => {
  if (player.mode === "film") { if (video.paused) video.play().catch(() => {}); else video.pause(); return; }
  if (player.mode !== "moments") return;
  player.playing = !player.playing;
  clearInterval(player.timer);
  if (player.playing) player.timer = setInterval(() => { if (!player.step(1)) player.toggle(); }, 1000 * MOMENT_SECONDS / Number($("speed").value));
  showPlaying();
};
// The moment that was gone to, as long as its frame is shown: that frame begins a little before.
player.from = () => Math.abs(player.target - player.time) <= 1.5 / player.fps ? player.target : player.time;
// Goes to the next (1) or previous (-1) moment at which a face was seen; false: there is none.
player.step = by => {
  const from = player.from(), eps = 0.5 / player.fps;
  const next = by > 0 ? player.moments.find(t => t > from + eps) : player.moments.findLast(t => t < from - eps);
  if (next === undefined) return false;
  player.seek(next);
  return true;
};
const nearestMoment = time => player.moments.reduce((best, one) => Math.abs(one - time) < Math.abs(best - time) ? one : best, player.moments[0] || 0);

// Opens the media of a job: `type` is its media type, or null.
function openMedia(type, address) {
  const film = type && type.startsWith("video/"), still = type && type.startsWith("image/");
  player.mode = film ? "film" : still ? "picture" : "moments";
  video.hidden = !film;
  $("still").hidden = !still;
  if (film && video.src !== new URL(address, location.href).href) video.src = address;
  if (still) { $("still").src = address; $("still").onerror = () => toMoments(); }
  if (!film && !still) toMoments();
  showMode();
}
function toMoments() {
  player.mode = "moments";
  video.hidden = $("still").hidden = true;
  showMode();
  whenUnplayable();
  player.show(nearestMoment(player.time));
}
function showMode() {
  const film = player.mode === "film", moments = player.mode === "moments";
  $("frames").hidden = !moments;
  $("stage").classList.toggle("moments", moments);
  $("boxes").toggleAttribute("hidden", moments);
  for (const id of ["mute", "show-boxes", "full"]) $(id).hidden = moments || id === "mute" && !film;
  $("controls").hidden = player.mode === "picture";
  $("key").hidden = moments || player.mode === "picture";
}
// A film that could be opened ends with an error when the service is away, or the cookie has expired: it is opened again.
async function reopen() {
  if (!player.reopened) player.resume = {time: player.time, playing: player.playing};  // loading it sets both back
  const {time, playing} = player.resume;
  if (++player.reopened > REOPEN_TRIES) { toMoments(); return; }
  await sleep(REOPEN_SECONDS);
  try { await beginSession(); if (await isGone()) return; } catch { return reopen(); }
  video.load();
  video.currentTime = time + NUDGE_SECONDS;
  if (playing) video.play().catch(() => {});
}
video.addEventListener("error", () => { if (video.error) player.opened && video.error.code !== MediaError.MEDIA_ERR_DECODE ? reopen() : toMoments(); });
video.addEventListener("loadeddata", () => { player.opened = true; player.reopened = 0; });
video.addEventListener("loadedmetadata", () => {
  if (Number.isFinite(video.duration)) player.duration = Math.max(player.duration, video.duration);
  if (!video.videoWidth) toMoments();  // the browser plays the sound and cannot decode the picture
  else { video.dispatchEvent(new Event("durationknown")); onTime(player.time); }
});
for (const name of ["play", "pause", "ended"]) video.addEventListener(name, () => { player.playing = !video.paused; showPlaying(); });
video.addEventListener("seeked", () => player.show(video.currentTime));
video.addEventListener("timeupdate", () => { if (!video.seeking) player.show(video.currentTime); });
if (video.requestVideoFrameCallback) {
  const presented = (_, frame) => { if (player.mode === "film" && !video.seeking) player.show(frame.mediaTime); video.requestVideoFrameCallback(presented); };
  video.requestVideoFrameCallback(presented);
}

// Where a person's face is at a time: {box, exact}, or null. A box between two samples is an estimate, and only where the
// second continues the first.
function boxAt(person, time) {
  const rows = person.detections, eps = 0.5 / player.fps + NUDGE_SECONDS;
  let low = 0, high = rows.length;
  while (low < high) { const middle = (low + high) >> 1; if (rows[middle][0] <= time + eps) low = middle + 1; else high = middle; }
  const before = rows[low - 1], after = rows[low], box = row => row.slice(12, 16);
  if (before && time - before[0] <= eps) return {box: box(before), exact: true};
  if (before && after && after[0] - before[0] <= 1.5 * player.interval && continues(before, after)) {
    const part = (time - before[0]) / (after[0] - before[0]);
    return {box: box(before).map((value, i) => value + part * (box(after)[i] - value)), exact: false};
  }
  if (before && time - before[0] <= HOLD_SECONDS) return {box: box(before), exact: false};
  return after && after[0] - time <= HOLD_SECONDS ? {box: box(after), exact: false} : null;
}
function continues(a, b) {
  const size = row => Math.max(1, row[14] - row[12]), centre = row => [(row[12] + row[14]) / 2, (row[13] + row[15]) / 2];
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)], ratio = size(b) / size(a);
  return Math.hypot(ax - bx, ay - by) < Math.max(size(a), size(b)) && ratio > 0.5 && ratio < 2;
}

// Draws the boxes and names of a moment over the picture, on a canvas: hundreds of them take some milliseconds.
let shownBoxes = [];  // of the moment: {id, name, box, exact, chosen}
function drawBoxes(people, time, width, height, chosen) {
  const wanted = $("show-boxes").getAttribute("aria-pressed") === "true" ? people : [];
  shownBoxes = wanted.map(person => ({person, ...boxAt(person, time)})).filter(one => one.box)
    .map(({person, box, exact}) => ({id: person.id, name: person.name, colour: person.colour, box, exact, chosen: person === chosen}));
  const canvas = $("boxes"), sharp = devicePixelRatio || 1, across = Math.round(canvas.clientWidth * sharp), down = Math.round(canvas.clientHeight * sharp);
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const pen = canvas.getContext("2d"), scale = Math.min(across / width, down / height);  // pixels of the screen in one of the film
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, across, down);
  pen.translate((across - scale * width) / 2, (down - scale * height) / 2);
  pen.font = `600 ${14 * sharp}px ${getComputedStyle(canvas).fontFamily}`;
  pen.lineJoin = "round";
  for (const one of shownBoxes) drawBox(pen, one, scale, sharp, scale * width);
}
function drawBox(pen, {name, colour, box, exact, chosen}, scale, sharp, edge) {
  const [left, top, right, bottom] = box.map(value => value * scale), text = name.length > MOST_LETTERS ? name.slice(0, MOST_LETTERS) + "…" : name;
  pen.setLineDash(exact ? [] : [6 * sharp, 5 * sharp]);
  for (const [stroke, thick] of [["#000a", 4], [chosen ? "#fff" : colour, 2]]) {
    pen.strokeStyle = stroke;
    pen.lineWidth = thick * sharp;
    pen.beginPath();
    pen.roundRect(left, top, right - left, bottom - top, 4 * sharp);
    pen.stroke();
  }
  const x = Math.max(0, Math.min(left + 2 * sharp, edge - pen.measureText(text).width - 2 * sharp)), y = top > 22 * sharp ? top - 6 * sharp : bottom + 16 * sharp;
  pen.setLineDash([]);
  pen.strokeStyle = "#000c";
  pen.lineWidth = 3.5 * sharp;
  pen.strokeText(text, x, y);
  pen.fillStyle = "#fff";
  pen.fillText(text, x, y);
}

const ICONS = {play: "M8 5v14l11-7z", pause: "M7 5h4v14H7zM13 5h4v14h-4z", before: "M6 5h2.5v14H6zM20 5v14L9.5 12z", after: "M15.500 5H18v14h-2.500zM4 5v14l10.500-7z", mute: "M4 9h4l5-4v14l-5-4H4zM16 9l5 6M21 9l-5 6",
  sound: "M4 9h4l5-4v14l-5-4H4zM16 8.500a5 5 0 0 1 0 7M18.500 6a9 9 0 0 1 0 12", boxes: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M9 10h6v5H9z", full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"};
const drawIcon = (id, name) => $(id).replaceChildren(makeSvg("svg", {viewBox: "0 0 24 24", "aria-hidden": "true", class: name}, makeSvg("path", {d: ICONS[name]})));
function showPlaying() {
  drawIcon("play", player.playing ? "pause" : "play");
  $("play").setAttribute("aria-label", player.playing ? TEXTS.film.pause : TEXTS.film.play);
}
function showMuted() { drawIcon("mute", video.muted ? "mute" : "sound"); $("mute").setAttribute("aria-label", video.muted ? TEXTS.film.unmute : TEXTS.film.mute); }

function toggleBoxes() { const on = $("show-boxes").getAttribute("aria-pressed") !== "true"; $("show-boxes").setAttribute("aria-pressed", String(on)); onTime(player.time); }
function toggleFull() { if (document.fullscreenElement) document.exitFullscreen(); else document.querySelector(".player").requestFullscreen().catch(() => {}); }
function oneFrame(by) { player.pause(); if (player.mode === "moments") player.step(by); else player.seek(player.from() + by / player.fps); }

// Keys as players have them; a control that is focused keeps its own.
const KEYS = [[[keyName("Space"), "k"], "keyPlay"], [["←", "→"], "keyShort"], [["j", "l"], "keyLong"], [[",", "."], "keyFrame"], [["p", "n"], "keyMoment"], [[keyName("Home"), keyName("End")], "keyEnds"], [["0", "…", "9"], "keyTenths"], [["m"], "keyMute"], [["b"], "keyBoxes"], [["f"], "keyFull"]];
const actions = {" ": () => player.toggle(), k: () => player.toggle(), ArrowLeft: () => player.seek(player.from() - SHORT_SECONDS), ArrowRight: () => player.seek(player.from() + SHORT_SECONDS),
  j: () => player.seek(player.from() - LONG_SECONDS), l: () => player.seek(player.from() + LONG_SECONDS), ",": () => oneFrame(-1), ".": () => oneFrame(1), p: () => player.step(-1), n: () => player.step(1),
  Home: () => player.seek(0), End: () => player.seek(player.duration), m: () => { video.muted = !video.muted; }, b: toggleBoxes, f: toggleFull};
document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || $("watch").hidden || document.querySelector("dialog[open]")) return;
  const on = event.target, keeps = on.matches("input:not([type=range]), textarea, select") || on.matches("input[type=range]") && /Arrow|Home|End/.test(event.key) || on.matches("button, a, summary") && (event.key === " " || event.key === "Enter");
  const action = /^[0-9]$/.test(event.key) ? () => player.seek(player.duration * Number(event.key) / 10) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (keeps || !action) return;
  event.preventDefault();
  action();
});
