
const POLL_SECONDS = 2;
const STATES = ["queued", "processing", "completed", "failed", "cancelled"];
const O = TEXTS.operations, C = O.columns;
const selected = new Set();  // job ids
let statusFilter = "", pages = 1, loadedJobs = [];

const watchUrl = ids => link("watch?jobs=") + ids.map(encodeURIComponent).join(",");

function cell(label, set, ...children) {
  const td = make("td", set, ...children);
  if (label) td.dataset.label = label;
  return td;
}
// Draws a table; the focus stays on the same control, or goes to the name of its job.
function table(id, columns, rows, empty) {
  const head = make("tr", {}, ...columns.map(([text, kind]) => make("th", {scope: "col", className: kind || ""}, text)));
  redraw($(id), () => $(id).replaceChildren(rows.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)) : make("p", {className: "empty"}, empty)));
}
function named(node, name) { node.dataset.name = name; return node; }

function showStages({queues, workers}) {
  $("stages").replaceChildren(...Object.entries(workers).map(([stage, alive]) => {
    const ofStage = queues.filter(queue => queue.stage === stage), sum = name => ofStage.reduce((total, queue) => total + queue[name], 0);
    const waiting = sum("entries") - sum("held"), oldest = Math.max(0, ...ofStage.map(queue => queue.oldest_seconds));
    return make("div", {className: "stage"}, make("div", {className: "line"}, make("b", {}, stage),
      make("span", {className: "soft " + (alive ? "" : "poor")}, alive ? number(alive, TEXTS.units.worker) : O.noWorker)),
      make("div", {className: "large"}, String(waiting)), make("div", {className: "soft"}, O.waiting),
      make("dl", {}, make("dt", {}, O.inProgress), make("dd", {}, String(sum("held"))), make("dt", {}, O.oldest), make("dd", {}, oldest ? ago(oldest) : O.none)));
  }));
}

function showStates() {
  const labels = {"": O.all, ...Object.fromEntries(STATES.map(state => [state, TEXTS.job[state]]))};
  $("states").replaceChildren(...Object.entries(labels).map(([value, text]) => make("button", {className: "tool", type: "button", "aria-pressed": String(statusFilter === value),
    onclick: () => { statusFilter = value; pages = 1; showStates(); refreshNow(); }}, text)));
}

function jobRow(one) {
  const box = named(make("input", {type: "checkbox", checked: selected.has(one.job_id), "aria-label": fill(O.choose, {id: one.job_id})}), "choose " + one.job_id);
  box.addEventListener("change", () => { box.checked ? selected.add(one.job_id) : selected.delete(one.job_id); showSelection(); });
  const link = named(make("a", {href: watchUrl([one.job_id]), title: one.video_path}, fileName(one.video_path)), "open " + one.job_id);
  const state = make("span", {}, make("span", {className: "state " + one.status}, one.cached ? fill(O.cached, {status: TEXTS.job[one.status]}) : TEXTS.job[one.status]),
    one.status === "processing" ? make("progress", {max: 1, value: one.progress, "aria-label": one.message}) : null);
  const summary = one.result_summary;
  const detail = one.error || (one.status === "processing" || one.status === "queued" ? one.message : summary ? fill(O.took, {frames: number(summary.frames_processed, TEXTS.units.frame), time: fill(TEXTS.units.seconds, {n: summary.processing_time_seconds.toFixed(1)})}) : "");
  const button = (text, label, action) => named(make("button", {className: "tool", type: "button", "aria-label": fill(label, {id: one.job_id}), onclick: event => act(event.currentTarget, () => change(one, action))}, text), `${action} ${one.job_id}`);
  const cancel = !hasEnded(one) && may("submit") ? button(TEXTS.job.cancel, O.cancelJob, "cancel") : null;
  const keep = one.status === "completed" && !one.kept && may("admin") ? button(TEXTS.job.keep, O.keepJob, "keep") : null;
  return make("tr", {}, cell("", {}, one.status === "completed" || one.status === "processing" ? box : null),
    cell("", {className: "film"}, link, make("span", {className: "soft"}, [one.source_id, one.job_id].filter(Boolean).join(" · "))),
    cell(C.status, {}, state), cell(C.people, {className: "number"}, summary ? String(summary.unique_faces) : null),
    cell("", {className: "why"}, detail || null), cell(C.submitted, {className: "nowrap"}, when(one.created_at)),
    cell(C.kept, {}, stays(one)), cell("", {}, cancel || keep));
}

// How long a job's result exists, and where its people stay.
function stays(one) {
  const result = lifetime(one);
  return result && make("span", {}, result, one.library && one.status === "completed" ? make("span", {className: "soft"}, " · " + fill(O.peopleStay, {library: one.library})) : null);
}

function showSelection() {
  const n = selected.size;
  $("together").disabled = n < 2;
  $("together").textContent = n < 2 ? O.together : fill(O.togetherN, {n});
}

function letterRow(one) {
  const replay = may("admin") ? named(make("button", {className: "tool", type: "button", "aria-label": fill(O.replayOne, {id: one.letter_id}), onclick: event => replayLetter(one, event.currentTarget)}, O.replay), "replay " + one.letter_id) : null;
  return make("tr", {}, cell(C.givenUp, {className: "nowrap"}, when(1000 * one.given_up)), cell(C.stage, {}, one.stage), cell(C.type, {}, one.type || null),
    cell("", {className: "film"}, one.job_id ? make("a", {href: watchUrl([one.job_id])}, one.job_id) : make("span", {className: "soft"}, O.noJob), make("span", {className: "soft"}, one.letter_id)),
    cell(C.tries, {className: "number"}, one.replays ? fill(O.sentAgain, {attempts: one.attempts, n: one.replays}) : String(one.attempts)),
    cell("", {className: "why"}, one.reason), cell("", {}, replay));
}

async function replayLetter(one, button) {
  button.disabled = true;
  const said = text => { $("replay-status").textContent = fill(O.outcome, {id: one.letter_id, text}); };
  try { said(O.outcomes[(await post(`dead/${encodeURIComponent(one.letter_id)}/replay`)).outcome]); } catch (error) { said(error.message); }
  await refreshNow();
}
async function change(job, action) {
  await onJob(job, () => post(jobPath(job, "/" + action)), refreshNow);
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
  table("jobs", [[C.show], [C.source], [C.status], [C.people, "number"], [C.detail], [C.submitted], [C.kept], [C.action]], rows.map(jobRow), text || statusFilter ? O.noMatch : O.noJobs);
}

async function refresh() {
  const [queues, letters] = await Promise.all([requestJson("queues"), requestJson("dead"), loadJobs()]);
  showStages(queues);
  draw();
  $("letters").hidden = !letters.letters.length && !$("replay-status").textContent;
  $("letters-head").textContent = letters.total > letters.letters.length ? fill(O.lettersOf, {n: letters.letters.length, all: letters.total}) : O.letters;
  table("dead", [[C.givenUp], [C.stage], [C.type], [C.letter], [C.tries, "number"], [C.reason], [C.action]], letters.letters.map(letterRow), O.noLetters);
}

$("source").addEventListener("input", draw);
$("more").addEventListener("click", () => { pages++; refreshNow(); });
$("together").addEventListener("click", () => { location.href = watchUrl([...selected]); });
const refreshNow = () => refresh().then(() => showProblem(null), showProblem);
showStates();
startPage("operations", refresh);
repeat(POLL_SECONDS, refresh);
