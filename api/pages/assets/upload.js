
// Uploads files in parts (tus 1.0): a broken connection is resumed, also after the page was loaded again.
const PART_BYTES = 4 << 20;
const UPLOAD_TRIES = 8;
const TUS = {"Tus-Resumable": "1.0.0"};
const uploadKey = file => `faces-upload:${file.name}:${file.size}:${file.lastModified}`;
const base64 = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

// Uploads a file; resolves to its path at the service. `show` gets the number of bytes that have arrived.
async function upload(file, show, signal) {
  let id = localStorage.getItem(uploadKey(file)), state = null;
  if (id) try { state = await requestJson("uploads/" + id); } catch (error) { if (!(error instanceof ResponseError) || error.status !== 404) throw error; }
  if (!state) {
    const headers = {...TUS, "Upload-Length": String(file.size), "Upload-Metadata": "filename " + base64(file.name)};
    state = await requestJson("uploads", {method: "POST", headers, signal});
    id = state.upload_id;
    localStorage.setItem(uploadKey(file), id);
  }
  for (let tries = 0; !state.path;) {
    show(state.offset);
    const headers = {...TUS, "Upload-Offset": String(state.offset), "Content-Type": "application/offset+octet-stream"};
    try {
      await request("uploads/" + id, {method: "PATCH", headers, body: file.slice(state.offset, state.offset + PART_BYTES), signal});
      tries = 0;
    } catch (error) {
      if (signal.aborted || error instanceof ResponseError && ![408, 409, 423, 502, 503, 504].includes(error.status) || ++tries >= UPLOAD_TRIES) throw error;
      await sleep(tries);
    }
    state = await requestJson("uploads/" + id, {signal});
  }
  show(file.size);
  localStorage.removeItem(uploadKey(file));
  return state.path;
}
async function stopUpload(file) {
  const id = localStorage.getItem(uploadKey(file));
  localStorage.removeItem(uploadKey(file));
  if (id) await request("uploads/" + id, {method: "DELETE", headers: TUS});
}
