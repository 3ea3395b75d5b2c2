
async function refresh() {
  const {jobs} = await requestJson("jobs");
  $("films").replaceChildren(...jobs.map(job => make("p", {}, make("a", {href: link("watch?jobs=" + encodeURIComponent(job.job_id))}, fileName(job.video_path)))));
}
startPage("films", refresh);
