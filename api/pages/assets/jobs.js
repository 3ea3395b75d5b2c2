
const EVERY = 2;  // seconds
const STATES = ["queued", "processing", "completed", "failed", "cancelled"];
const ENDED = ["completed", "failed", "cancelled"];
const chosen = new Set();
let wanted = "", pages = 1, listed = [], busy = false;

const ago = seconds => seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
const when = time => { const at = new Date(time); return make("time", {dateTime: at.toISOString(), title: at.toLocaleString()}, ago(Math.max(0, Date.now() - at) / 1000) + " ago"); };
const watch = jobs => "watch?jobs=" + jobs.map(encodeURIComponent).join(",");

function cell(label, set, ...children) {
  const td = make("td", set, ...children);
  if (label) td.dataset.label = label;
  return td;
}
// A table that keeps what is focused when it is drawn again.
function table(id, columns, rows, empty) {
  const held = document.activeElement, name = held && $(id).contains(held) ? held.dataset.name : null;
  const head = make("tr", {}, ...columns.map(([text, kind]) => make("th", {scope: "col", className: kind || ""}, text)));
  $(id).replaceChildren(rows.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)) : make("p", {className: "empty"}, empty));
  if (name) { const again = [...$(id).querySelectorAll("[data-name]")].find(node => node.dataset.name === name); if (again) again.focus(); }
}
function named(node, name) { node.dataset.name = name; return node; }

function stages({queues, workers}) {
  $("stages").replaceChildren(...Object.entries(workers).map(([stage, alive]) => {
    const mine = queues.filter(queue => queue.stage === stage), sum = name => mine.reduce((total, queue) => total + queue[name], 0);
    const lag = sum("entries") - sum("held"), oldest = Math.max(0, ...mine.map(queue => queue.oldest_seconds));
    return make("div", {className: "stage"}, make("div", {className: "line"}, make("b", {}, stage),
      make("span", {className: "soft " + (alive ? "" : "poor")}, alive ? count(alive, "worker", "workers") : "no worker")),
      make("div", {className: "large"}, String(lag)), make("div", {className: "soft"}, "waiting"),
      make("dl", {}, make("dt", {}, "in hand"), make("dd", {}, String(sum("held"))), make("dt", {}, "oldest"), make("dd", {}, oldest ? ago(oldest) : "none")));
  }));
}

function states() {
  const all = {"": "all"};
  for (const state of STATES) all[state] = state;
  $("states").replaceChildren(...Object.entries(all).map(([value, text]) => make("button", {className: "tool", type: "button", "aria-pressed": String(wanted === value),
    onclick: () => { wanted = value; pages = 1; states(); refresh(); }}, text)));
}

function job(one) {
  const box = named(make("input", {type: "checkbox", checked: chosen.has(one.job_id), "aria-label": `choose ${one.job_id}`}), "choose " + one.job_id);
  box.addEventListener("change", () => { box.checked ? chosen.add(one.job_id) : chosen.delete(one.job_id); together(); });
  const link = named(make("a", {href: watch([one.job_id]), title: one.video_path}, file(one.video_path)), "open " + one.job_id);
  const state = make("span", {}, make("span", {className: "state " + one.status}, one.status + (one.cached ? " (cached)" : "")),
    one.status === "processing" ? make("progress", {max: 1, value: one.progress, "aria-label": one.message}) : null);
  const summary = one.result_summary;
  const told = one.error || (one.status === "processing" || one.status === "queued" ? one.message : summary ? `${count(summary.frames_processed, "frame", "frames")} in ${summary.processing_time_seconds.toFixed(1)} s` : "");
  const cancel = ENDED.includes(one.status) ? null : named(make("button", {className: "tool", type: "button", "aria-label": `cancel ${one.job_id}`, onclick: () => stop(one.job_id)}, "Cancel"), "cancel " + one.job_id);
  return make("tr", {}, cell("", {}, one.status === "completed" || one.status === "processing" ? box : null),
    cell("", {className: "film"}, link, make("span", {className: "soft"}, [one.source_id, one.job_id].filter(Boolean).join(" · "))),
    cell("status", {}, state), cell("people", {className: "number"}, summary ? String(summary.unique_faces) : null),
    cell("", {className: "why"}, told || null), cell("submitted", {className: "nowrap"}, when(one.created_at)), cell("", {}, cancel));
}

function together() {
  const there = [...chosen];
  $("together").disabled = there.length < 2;
  $("together").textContent = there.length < 2 ? "Show together" : `Show ${there.length} together`;
}

function letter(one) {
  const replay = named(make("button", {className: "tool", type: "button", "aria-label": `replay ${one.letter_id}`}, "Replay"), "replay " + one.letter_id);
  replay.addEventListener("click", () => again(one, replay));
  return make("tr", {}, cell("given up", {className: "nowrap"}, when(1000 * one.given_up)), cell("stage", {}, one.stage), cell("type", {}, one.type || null),
    cell("", {className: "film"}, one.job_id ? make("a", {href: watch([one.job_id])}, one.job_id) : make("span", {className: "soft"}, "no job"), make("span", {className: "soft"}, one.letter_id)),
    cell("tries", {className: "number"}, `${one.attempts}${one.replays ? `, sent again ${one.replays}×` : ""}`),
    cell("", {className: "why"}, one.reason), cell("", {}, replay));
}

async function post(path) { return json(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}); }
async function again(one, button) {
  button.disabled = true;
  const words = {sent: "sent again", ended: "its job has ended and its frames are gone; not sent", missing: "somebody else was faster"};
  try { $("told").textContent = `${one.letter_id}: ${words[(await post(`dead/${encodeURIComponent(one.letter_id)}/replay`)).outcome]}`; }
  catch (error) { $("told").textContent = `${one.letter_id}: ${error.message}`; }
  await refresh();
}
async function stop(id) {
  try { await post(`jobs/${encodeURIComponent(id)}/cancel`); } catch (error) { problem(error); }
  await refresh();
}

function problem(error) {
  $("problem").hidden = !error || error.status === 401;
  $("problem").textContent = error ? error instanceof Refused ? error.message : "The service does not answer; trying again." : "";
}

async function list() {
  let all = [], next = null;
  for (let page = 0; page < pages; page++) {
    const query = new URLSearchParams({limit: 50});
    if (wanted) query.set("status", wanted);
    if (next) query.set("cursor", next);
    const part = await json("jobs?" + query);
    all = all.concat(part.jobs);
    next = part.next;
    if (!next) break;
  }
  $("more").hidden = !next;
  listed = all;
}
function draw() {
  const text = $("source").value.toLowerCase();
  const rows = listed.filter(one => [one.video_path, one.source_id, one.job_id].some(part => part && part.toLowerCase().includes(text)));
  table("jobs", [["show"], ["source"], ["status"], ["people", "number"], ["detail"], ["submitted"], ["action"]], rows.map(job), text || wanted ? "No job fits." : "No jobs yet.");
}

async function refresh() {
  if (busy) return;
  busy = true;
  try {
    const [queues, health, letters] = await Promise.all([json("queues"), json("health"), json("dead"), list()]);
    stages(queues);
    draw();
    $("health").textContent = health.status === "healthy" ? "healthy" : `no worker for ${health.missing.join(", ")}`;
    $("health").className = "chip " + (health.status === "healthy" ? "good" : "poor");
    $("letters").hidden = !letters.letters.length && !$("told").textContent;
    $("letters-head").textContent = letters.total > letters.letters.length ? `Dead letters (${letters.letters.length} of ${letters.total})` : "Dead letters";
    table("dead", [["given up"], ["stage"], ["type"], ["job, letter"], ["tries", "number"], ["reason"], ["action"]], letters.letters.map(letter), "None.");
    problem(null);
  } catch (error) { problem(error); }
  $("forget").hidden = !sessionStorage.getItem(KEY);
  busy = false;
}

$("source").addEventListener("input", draw);
$("more").addEventListener("click", () => { pages++; refresh(); });
$("together").addEventListener("click", () => { location.href = watch([...chosen]); });
$("forget").addEventListener("click", () => { sessionStorage.removeItem(KEY); location.reload(); });
theme();
states();
keyed = refresh;
refresh();
setInterval(() => { if (!document.hidden && !$("key-box")) refresh(); }, 1000 * EVERY);
