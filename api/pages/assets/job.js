
// What the pages say and do about a job: its state in words, how long it exists, its buttons.
const ENDED = ["completed", "failed", "cancelled"];
const hasEnded = job => ENDED.includes(job.status);
const filmTitle = job => fileName(job.video_path);
const personName = (person, place) => person.label || (person.identifiable === false ? TEXTS.job.unclear : fill(TEXTS.job.unnamed, {n: place + 1}));

function lifetime(job) {
  if (job.kept) return TEXTS.job.kept;
  return typeof job.expires_in === "number" ? fill(TEXTS.job.gone, {time: ago(job.expires_in)}) : "";
}
// What a person can do about a failure, by what the service said.
function hint(error) {
  const found = TEXTS.job.hints.find(([pattern]) => pattern.test(error || ""));
  return found ? found[1] : TEXTS.job.hint;
}
const jobPath = (job, rest = "") => `jobs/${encodeURIComponent(job.job_id)}${rest}`;

// Does something with a job. Where it has ended or is gone meanwhile, says so in words; `done` shows what it is now.
async function onJob(job, action, done) {
  try { await action(); } catch (error) {
    if (error.status !== 404 && error.status !== 409) throw error;
    await done();
    throw new ResponseError(fill(error.status === 404 ? TEXTS.job.goneMeanwhile : TEXTS.job.changedMeanwhile, {name: filmTitle(job)}));
  }
}

// The buttons that the job's state and the key allow; `done` is called after an action, with what it did.
function jobButtons(job, done) {
  const button = (text, action, kind = "") => {
    const one = make("button", {className: "tool small " + kind, type: "button", "aria-label": `${text}: ${filmTitle(job)}`, onclick: () => act(one, () => onJob(job, action, done))}, text);
    one.dataset.name = `${text} ${job.job_id}`;
    return one;
  };
  const after = text => { say(text); return done(text); };
  const buttons = [];
  if (!hasEnded(job) && may("submit")) buttons.push(button(TEXTS.job.cancel, async () => { await post(jobPath(job, "/cancel")); await after(TEXTS.job.cancelled2); }));
  if ((job.status === "failed" || job.status === "cancelled") && may("submit")) buttons.push(button(TEXTS.job.retry, async () => { await post(jobPath(job, "/retry")); await after(TEXTS.job.again); }, "first"));
  if (job.status === "completed" && !job.kept && may("admin")) buttons.push(button(TEXTS.job.keep, async () => { await post(jobPath(job, "/keep")); await after(TEXTS.job.keptNow); }));
  if (hasEnded(job) && may("admin")) buttons.push(button(TEXTS.job.remove, async () => {
    const text = TEXTS.job.sureText + (job.library && job.status === "completed" ? " " + fill(TEXTS.job.sureLibrary, {library: job.library}) : "");
    if (!await ask(fill(TEXTS.job.sure, {name: filmTitle(job)}), text, TEXTS.job.remove)) return;
    await request(jobPath(job), {method: "DELETE"});
    await after(TEXTS.job.removed);
  }));
  return buttons;
}
