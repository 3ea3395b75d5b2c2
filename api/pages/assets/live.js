
// The jobs of the address, while they run: their events say when there may be more people, who are then asked for.
const EVERY = 3;  // seconds between two looks at the people of a running job
const STREAMS = 3;  // streams of events at once; a browser opens few connections to a server
const ids = (new URLSearchParams(location.search).get("jobs") || "").split(",").filter(Boolean);
const states = new Map(), shows = new Map(), problems = new Map(), looked = new Map();
const ENDED = ["completed", "failed", "cancelled"];
const over = id => problems.has(id) || ENDED.includes((states.get(id) || {}).status);

function tell() {
  const known = ids.map(id => states.get(id)).filter(Boolean), done = ids.filter(over).length;
  const share = known.reduce((sum, state) => sum + (ENDED.includes(state.status) ? 1 : state.progress), 0) / Math.max(1, ids.length);
  $("live").hidden = done === ids.length && !problems.size;
  $("bar").hidden = done === ids.length;
  $("bar").value = share;
  const running = known.find(state => !ENDED.includes(state.status));
  const wrong = [...problems].map(([id, text]) => `${id}: ${text}`);
  $("stage").className = wrong.length ? "soft error" : "soft";
  $("stage").textContent = [ids.length > 1 ? `${done} of ${ids.length} done` : "", running ? running.message : "", ...wrong].filter(Boolean).join(" · ");
  const complete = ids.filter(id => (states.get(id) || {}).status === "completed");
  $("save").hidden = !complete.length || done < ids.length;
  if (!shows.size) $("title").textContent = wrong.length ? "No people to show" : "Waiting for the first frames";
}

// Asks for the people of a job; those of a running one at most every few seconds.
async function look(id) {
  const state = states.get(id), finished = state.status === "completed";
  if (ENDED.includes(state.status) && !finished) return;
  if (!finished && Date.now() - (looked.get(id) || 0) < 1000 * EVERY) return;
  looked.set(id, Date.now());
  try {
    const [job] = await json(`jobs/${encodeURIComponent(id)}/people`);
    shows.set(id, job);
    update(ids.map(one => shows.get(one)).filter(Boolean));
  } catch (error) {
    if (error instanceof Refused && error.status !== 409) problems.set(id, error.message);
  }
}

// The events in an answer, one after the other.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
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

// Follows a job to its end; a stream that breaks off is taken up where it was.
async function follow(id) {
  let last = "";
  while (!over(id)) {
    try {
      const answer = await ask(`jobs/${encodeURIComponent(id)}/events`, {headers: last ? {"Last-Event-ID": last} : {}});
      for await (const event of events(answer)) {
        if (event.id) last = event.id;
        if (event.event === "gone") problems.set(id, "deleted");
        else if (event.data) {
          const state = JSON.parse(event.data);
          states.set(id, state);
          if (ENDED.includes(state.status) && state.status !== "completed") problems.set(id, state.error || state.status);
          await look(id);
        }
        tell();
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return;  // goes on once there is a key
      if (error instanceof Refused && error.status < 500) problems.set(id, error.message);
      else $("stage").textContent = "The service does not answer; trying again.";
    }
    if (!over(id)) await pause(2);
  }
  tell();
}

async function start() {
  tell();
  const waiting = [...ids];
  const one = async () => { for (let id; (id = waiting.shift());) await follow(id); };
  const looking = setInterval(() => ids.filter(id => states.has(id) && !over(id)).forEach(look), 1000 * EVERY);
  await Promise.all(Array.from({length: STREAMS}, one));
  if (ids.every(over)) clearInterval(looking);
}

$("save").addEventListener("click", async () => {
  const complete = ids.filter(id => (states.get(id) || {}).status === "completed");
  const page = await (await ask("report?jobs=" + complete.map(encodeURIComponent).join(","))).blob();
  const link = make("a", {href: URL.createObjectURL(page), download: "people.html"});
  link.click();
  URL.revokeObjectURL(link.href);
});
$("back").hidden = false;
$("filters").hidden = $("keys").hidden = true;
$("people").hidden = $("times").hidden = true;
keyed = start;
if (ids.length) start();
else $("title").textContent = "No jobs named: add ?jobs=JOB_ID to the address";
