
// The jobs in the page's query, while they run: after each of their events, their people are loaded.
const POLL_SECONDS = 3;  // between two requests for the people of a running job
const FOLLOW_SECONDS = 4;  // between two looks at the libraries
const MAX_STREAMS = 3;  // event streams open at once; browsers limit the connections to a server
const ids = (new URLSearchParams(location.search).get("jobs") || "").split(",").filter(Boolean);
const states = new Map(), loaded = new Map(), problems = new Map(), loadedAt = new Map();
const ENDED = ["completed", "failed", "cancelled"];
const isFinished = id => problems.has(id) || ENDED.includes((states.get(id) || {}).status);

function showProgress() {
  const current = ids.map(id => states.get(id)).filter(Boolean), done = ids.filter(isFinished).length;
  const share = current.reduce((sum, state) => sum + (ENDED.includes(state.status) ? 1 : state.progress), 0) / Math.max(1, ids.length);
  $("live").hidden = done === ids.length && !problems.size;
  $("bar").hidden = done === ids.length;
  $("bar").value = share;
  const running = current.find(state => !ENDED.includes(state.status));
  const errors = [...problems].map(([id, text]) => fill(R.problem, {id, text}));
  $("stage").className = errors.length ? "soft error" : "soft";
  $("stage").textContent = [ids.length > 1 ? fill(R.done, {n: done, all: ids.length}) : "", running ? running.message : "", ...errors].filter(Boolean).join(" · ");
  const complete = ids.filter(id => (states.get(id) || {}).status === "completed");
  $("save").hidden = !complete.length || done < ids.length;
  if (!loaded.size) $("title").textContent = errors.length ? R.nothing : R.waiting;
}

// Loads the people of a job; of a running one at most every POLL_SECONDS.
async function loadPeople(id) {
  const state = states.get(id), finished = state.status === "completed";
  if (ENDED.includes(state.status) && !finished) return;
  if (!finished && Date.now() - (loadedAt.get(id) || 0) < 1000 * POLL_SECONDS) return;
  loadedAt.set(id, Date.now());
  try {
    const [job] = await requestJson(`jobs/${encodeURIComponent(id)}/people`);
    if (!job) return;  // it has ended without people meanwhile; its next event says so
    loaded.set(id, job);
    update(ids.map(one => loaded.get(one)).filter(Boolean));
  } catch (error) {
    if (error instanceof ResponseError && error.status !== 409) problems.set(id, error.message);
  }
}

// What is corrected in a library shows here too: the people of jobs that have ended are loaded again when a library has changed. Their
// pictures stay.
let versions = "";
async function follow() {
  const now = JSON.stringify((await requestJson("libraries")).libraries.map(one => [one.name, one.version]));
  if (now === versions) return;
  const first = !versions;
  versions = now;
  if (first) return;
  for (const id of ids.filter(id => loaded.has(id) && isFinished(id))) {
    const [job] = await requestJson(`jobs/${encodeURIComponent(id)}/people?pictures=none`), before = loaded.get(id);
    if (!job) continue;
    const pictures = new Map(before.people.map(({id: face, picture, strip}) => [face, {picture, strip}]));
    loaded.set(id, {...job, people: job.people.map(one => ({...one, ...pictures.get(one.id)}))});
  }
  if (loaded.size) update(ids.map(one => loaded.get(one)).filter(Boolean));
}

// Parses the server-sent events of a response.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const event = {};
      for (const line of part.split("\n")) { const [, name, text] = /^(\w+): ?(.*)$/.exec(line) || []; if (name) event[name] = text; }
      yield event;
    }
  }
}

// Follows a job to its end; a broken stream is resumed after the last event.
async function followJob(id) {
  let lastId = "";
  while (!isFinished(id)) {
    try {
      const response = await request(`jobs/${encodeURIComponent(id)}/events`, {headers: lastId ? {"Last-Event-ID": lastId} : {}});
      for await (const event of events(response)) {
        if (event.id) lastId = event.id;
        if (event.event === "gone") problems.set(id, R.deleted);
        else if (event.data) {
          const state = JSON.parse(event.data);
          states.set(id, state);
          if (ENDED.includes(state.status) && state.status !== "completed") problems.set(id, state.error || TEXTS.job[state.status]);
          await loadPeople(id);
        }
        showProgress();
      }
    } catch (error) {
      if (error instanceof ResponseError && error.status === 401) return;  // resumes when a key is entered
      if (error instanceof ResponseError && error.status < 500) problems.set(id, error.message);
      else $("stage").textContent = TEXTS.shell.unreachable;
    }
    if (!isFinished(id)) await sleep(2);
  }
  showProgress();
}

async function start() {
  showProgress();
  await follow().catch(() => {});  // the versions before the people are loaded; without an answer, the jobs' streams say so
  const waiting = [...ids];
  const followNext = async () => { for (let id; (id = waiting.shift());) await followJob(id); };
  const polling = setInterval(() => ids.filter(id => states.has(id) && !isFinished(id)).forEach(loadPeople), 1000 * POLL_SECONDS);
  await Promise.all(Array.from({length: MAX_STREAMS}, followNext));
  if (ids.every(isFinished)) clearInterval(polling);
}

$("save").addEventListener("click", async () => {
  const complete = ids.filter(id => (states.get(id) || {}).status === "completed");
  let page;
  try { page = await (await request("report?jobs=" + complete.map(encodeURIComponent).join(","))).blob(); } catch (error) {
    $("live").hidden = false;
    $("stage").className = "soft error";
    $("stage").textContent = error instanceof ResponseError ? error.message : TEXTS.shell.unreachable;
    return;
  }
  const link = make("a", {href: URL.createObjectURL(page), download: "people.html"});
  link.click();
  URL.revokeObjectURL(link.href);
});
$("back").hidden = false;
$("filters").hidden = $("keys").hidden = true;
$("people").hidden = $("times").hidden = true;
onKey = start;
let following = false;
setInterval(async () => {
  if (following || document.hidden || isLocked() || !ids.length) return;
  following = true;
  try { await follow(); } catch (error) { if (!(error instanceof ResponseError)) $("stage").textContent = TEXTS.shell.unreachable; } finally { following = false; }
}, 1000 * FOLLOW_SECONDS);
if (ids.length) start();
else $("title").textContent = R.noJobs;
