
const POLL_SECONDS = 2;
const STATES = ["queued", "processing", "completed", "failed", "cancelled"];
const ENDED = ["completed", "failed", "cancelled"];
const selected = new Set();  // job ids
let statusFilter = "", pages = 1, loadedJobs = [];

const watchUrl = ids => link("watch?jobs=") + ids.map(encodeURIComponent).join(",");

function cell(label, set, ...children) {
  const td = make("td", set, ...children);
  if (label) td.dataset.label = label;
  return td;
}
// Draws a table; the focus stays on the same control.
function table(id, columns, rows, empty) {
  const focused = document.activeElement, name = focused && $(id).contains(focused) ? focused.dataset.name : null;
  const head = make("tr", {}, ...columns.map(([text, kind]) => make("th", {scope: "col", className: kind || ""}, text)));
  $(id).replaceChildren(rows.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)) : make("p", {className: "empty"}, empty));
  if (name) { const redrawn = [...$(id).querySelectorAll("[data-name]")].find(node => node.dataset.name === name); if (redrawn) redrawn.focus(); }
}
function named(node, name) { node.dataset.name = name; return node; }

function showStages({queues, workers}) {
  $("stages").replaceChildren(...Object.entries(workers).map(([stage, alive]) => {
    const ofStage = queues.filter(queue => queue.stage === stage), sum = name => ofStage.reduce((total, queue) => total + queue[name], 0);
    const waiting = sum("entries") - sum("held"), oldest = Math.max(0, ...ofStage.map(queue => queue.oldest_seconds));
    return make("div", {className: "stage"}, make("div", {className: "line"}, make("b", {}, stage),
      make("span", {className: "soft " + (alive ? "" : "poor")}, alive ? count(alive, "worker", "workers") : "no worker")),
      make("div", {className: "large"}, String(waiting)), make("div", {className: "soft"}, "waiting"),
      make("dl", {}, make("dt", {}, "in progress"), make("dd", {}, String(sum("held"))), make("dt", {}, "oldest"), make("dd", {}, oldest ? ago(oldest) : "none")));
  }));
}

function showStates() {
  const labels = {"": "all"};
  for (const state of STATES) labels[state] = state;
  $("states").replaceChildren(...Object.entries(labels).map(([value, text]) => make("button", {className: "tool", type: "button", "aria-pressed": String(statusFilter === value),
    onclick: () => { statusFilter = value; pages = 1; showStates(); refreshNow(); }}, text)));
}

function jobRow(one) {
  const box = named(make("input", {type: "checkbox", checked: selected.has(one.job_id), "aria-label": `choose ${one.job_id}`}), "choose " + one.job_id);
  box.addEventListener("change", () => { box.checked ? selected.add(one.job_id) : selected.delete(one.job_id); showSelection(); });
  const link = named(make("a", {href: watchUrl([one.job_id]), title: one.video_path}, fileName(one.video_path)), "open " + one.job_id);
  const state = make("span", {}, make("span", {className: "state " + one.status}, one.status + (one.cached ? " (cached)" : "")),
    one.status === "processing" ? make("progress", {max: 1, value: one.progress, "aria-label": one.message}) : null);
  const summary = one.result_summary;
  const detail = one.error || (one.status === "processing" || one.status === "queued" ? one.message : summary ? `${count(summary.frames_processed, "frame", "frames")} in ${summary.processing_time_seconds.toFixed(1)} s` : "");
  const cancel = ENDED.includes(one.status) ? null : named(make("button", {className: "tool", type: "button", "aria-label": `cancel ${one.job_id}`, onclick: () => change(one.job_id, "cancel")}, "Cancel"), "cancel " + one.job_id);
  const keep = one.status === "completed" && !one.kept ? named(make("button", {className: "tool", type: "button", "aria-label": `keep ${one.job_id}`, onclick: () => change(one.job_id, "keep")}, "Keep"), "keep " + one.job_id) : null;
  return make("tr", {}, cell("", {}, one.status === "completed" || one.status === "processing" ? box : null),
    cell("", {className: "film"}, link, make("span", {className: "soft"}, [one.source_id, one.job_id].filter(Boolean).join(" · "))),
    cell("status", {}, state), cell("people", {className: "number"}, summary ? String(summary.unique_faces) : null),
    cell("", {className: "why"}, detail || null), cell("submitted", {className: "nowrap"}, when(one.created_at)),
    cell("kept", {}, lifetime(one)), cell("", {}, cancel || keep));
}

// How long a job's result exists, and where its people stay.
function lifetime(one) {
  const result = one.kept ? "until deleted" : typeof one.expires_in === "number" ? `gone in ${ago(one.expires_in)}` : null;
  return result && make("span", {}, result, one.library && one.status === "completed" ? make("span", {className: "soft"}, ` · people in ${one.library} until deleted`) : null);
}

function showSelection() {
  const number = selected.size;
  $("together").disabled = number < 2;
  $("together").textContent = number < 2 ? "Show together" : `Show ${number} together`;
}

function letterRow(one) {
  const replay = named(make("button", {className: "tool", type: "button", "aria-label": `replay ${one.letter_id}`}, "Replay"), "replay " + one.letter_id);
  replay.addEventListener("click", () => replayLetter(one, replay));
  return make("tr", {}, cell("given up", {className: "nowrap"}, when(1000 * one.given_up)), cell("stage", {}, one.stage), cell("type", {}, one.type || null),
    cell("", {className: "film"}, one.job_id ? make("a", {href: watchUrl([one.job_id])}, one.job_id) : make("span", {className: "soft"}, "no job"), make("span", {className: "soft"}, one.letter_id)),
    cell("tries", {className: "number"}, `${one.attempts}${one.replays ? `, sent again ${one.replays}×` : ""}`),
    cell("", {className: "why"}, one.reason), cell("", {}, replay));
}

async function replayLetter(one, button) {
  button.disabled = true;
  const outcomes = {sent: "sent again", ended: "not sent: its job has ended and its frames have expired", missing: "already sent again by another caller"};
  try { $("replay-status").textContent = `${one.letter_id}: ${outcomes[(await post(`dead/${encodeURIComponent(one.letter_id)}/replay`)).outcome]}`; }
  catch (error) { $("replay-status").textContent = `${one.letter_id}: ${error.message}`; }
  await refreshNow();
}
async function change(id, action) {
  try { await post(`jobs/${encodeURIComponent(id)}/${action}`); } catch (error) { showProblem(error); return; }
  await refreshNow();
}

async function loadJobs() {
  let jobs = [], next = null;
  for (let page = 0; page < pages; page++) {
    const query = new URLSearchParams({limit: 50});
    if (statusFilter) query.set("status", statusFilter);
    if (next) query.set("cursor", next);
    const part = await requestJson("jobs?" + query);
    jobs = jobs.concat(part.jobs);
    next = part.next;
    if (!next) break;
  }
  $("more").hidden = !next;
  loadedJobs = jobs;
}
function draw() {
  const text = $("source").value.toLowerCase();
  const rows = loadedJobs.filter(one => [one.video_path, one.source_id, one.job_id].some(part => part && part.toLowerCase().includes(text)));
  table("jobs", [["show"], ["source"], ["status"], ["people", "number"], ["detail"], ["submitted"], ["kept"], ["action"]], rows.map(jobRow), text || statusFilter ? "No matching jobs." : "No jobs yet.");
}

async function refresh() {
  const [queues, letters] = await Promise.all([requestJson("queues"), requestJson("dead"), loadJobs()]);
  showStages(queues);
  draw();
  $("letters").hidden = !letters.letters.length && !$("replay-status").textContent;
  $("letters-head").textContent = letters.total > letters.letters.length ? `Dead letters (${letters.letters.length} of ${letters.total})` : TEXTS.operations.letters;
  table("dead", [["given up"], ["stage"], ["type"], ["job, letter"], ["tries", "number"], ["reason"], ["action"]], letters.letters.map(letterRow), "None.");
}

$("source").addEventListener("input", draw);
$("more").addEventListener("click", () => { pages++; refreshNow(); });
$("together").addEventListener("click", () => { location.href = watchUrl([...selected]); });
const refreshNow = () => refresh().then(() => showProblem(null), showProblem);
showStates();
startPage("operations", refresh);
repeat(POLL_SECONDS, refresh);
