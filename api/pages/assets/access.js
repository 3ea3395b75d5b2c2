
// Requests to the API of the page's own origin. A key that a person enters is sent along; it is kept until the tab is closed.
const KEY = "faces-key";
const ROOT = new URL(document.documentElement.dataset.root || "./", location.href).pathname;  // of the API and the pages
class ResponseError extends Error {}

// Sends a request; `path` is relative to ROOT. A ResponseError has the status, and the problem's text as message. The header lets
// the service send a refusal with the status 200: browsers log others as errors of the page.
async function request(path, options) {
  const key = sessionStorage.getItem(KEY), headers = {"Faces-Page": "1", ...(options || {}).headers};
  if (key) headers.Authorization = "Bearer " + key;
  const response = await fetch(ROOT + path, {cache: "no-cache", ...options, headers});
  if (response.ok && !/problem/.test(response.headers.get("Content-Type"))) return response;
  let text = `${response.status} ${response.statusText}`, {status} = response;
  try { ({detail: text = text, status = status} = await response.json()); } catch { /* not problem details, from a proxy perhaps: the status is enough */ }
  if (status === 401) showKeyForm(key ? TEXTS.key.wrong : "");
  const error = new ResponseError(text);
  error.status = status;
  throw error;
}
const requestJson = async (path, options) => (await request(path, options)).json();
// Posts JSON and returns the JSON of the answer.
const post = (path, body = {}) => requestJson(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});

// A form in place of the page's content; `onKey` is called once a key is entered.
let onKey = () => {};
const isLocked = () => Boolean($("key-box"));
function showKeyForm(message) {
  if (isLocked()) return;
  const input = make("input", {id: "key", type: "password", autocomplete: "off", required: true, spellcheck: false});
  const box = make("form", {id: "key-box", className: "key-box", "aria-labelledby": "key-title"}, make("h2", {id: "key-title"}, TEXTS.key.title),
    make("p", {className: "soft"}, TEXTS.key.hint),
    make("p", {className: "line"}, make("label", {}, TEXTS.key.label, input), make("button", {className: "tool first", type: "submit"}, TEXTS.key.use)),
    make("p", {className: "error", role: "alert", hidden: !message}, message), make("p", {className: "soft"}, TEXTS.key.waiting));
  box.addEventListener("submit", event => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    box.remove();
    document.body.classList.remove("locked");
    onKey();
  });
  document.body.classList.add("locked");  // what lies behind would be the state of another key, or none
  const main = document.querySelector("main");
  main.before(box);
  input.focus();
}
const sleep = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
