
// Requests to the page's own origin. A key that a person enters is sent along; it is kept until the tab is closed.
const KEY = "faces-key";
class ResponseError extends Error {}

async function request(path, options) {
  const key = sessionStorage.getItem(KEY), headers = {...(options || {}).headers};
  if (key) headers.Authorization = "Bearer " + key;
  const response = await fetch(path, {cache: "no-cache", ...options, headers});
  if (response.ok) return response;
  let text = `${response.status} ${response.statusText}`;
  try { text = (await response.json()).detail || text; } catch { /* not problem details, from a proxy perhaps: the status is enough */ }
  if (response.status === 401) showKeyForm(key ? "This key is not known, or was revoked." : "");
  const error = new ResponseError(text);
  error.status = response.status;
  throw error;
}
const requestJson = async (path, options) => (await request(path, options)).json();

// A form above the page; `onKey` is called once a key is entered.
let onKey = () => {};
function showKeyForm(message) {
  if ($("key-box")) return;
  const input = make("input", {id: "key", type: "password", autocomplete: "off", required: true, spellcheck: false});
  const box = make("form", {id: "key-box", className: "wide"}, make("label", {}, "This service needs a key ", input),
    make("button", {className: "tool first", type: "submit"}, "Use it"), make("span", {className: "error", role: "alert"}, message));
  box.addEventListener("submit", event => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    box.remove();
    onKey();
  });
  document.body.prepend(box);
  input.focus();
}
const sleep = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
