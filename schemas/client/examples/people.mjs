// Prints the people in a video: node people.mjs VIDEO [URL]
const [video, url = "http://127.0.0.1:5003"] = process.argv.slice(2);
const json = async (response) => {
  const body = await response.json();
  if (!response.ok) throw new Error(`${body.status} ${body.detail} (${body.field})`);
  return body;
};
const job = await json(await fetch(`${url}/faces/analyze`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ video_path: video, parameters: { sampling_interval: 1 } }),
}));
const events = await fetch(`${url}/faces/jobs/${job.job_id}/events`);
for await (const chunk of events.body.pipeThrough(new TextDecoderStream()))
  for (const line of chunk.split("\n").filter((line) => line.startsWith("event:"))) console.error(line);
const result = await json(await fetch(`${url}/faces/jobs/${job.job_id}/results?embeddings=none`));
for (const face of result.faces)
  console.log(face.face_id, face.appearances.map((span) => `${span.start}-${span.end} s`).join(", "));
