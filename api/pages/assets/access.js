
// The server that the page came from is asked; a key that a person has typed in goes along, and is forgotten with the tab.
const KEY = "faces-key";
class Refused extends Error {}

async function ask(path, options) {
  const key = sessionStorage.getItem(KEY), headers = {...(options || {}).headers};
  if (key) headers.Authorization = "Bearer " + key;
  const answer = await fetch(path, {cache: "no-cache", ...options, headers});
  if (answer.ok) return answer;
  let text = `${answer.status} ${answer.statusText}`;
  try { text = (await answer.json()).detail || text; } catch { /* not from the service itself: the status says enough */ }
  if (answer.status === 401) askForKey(key ? "This key is not known, or was revoked." : "");
  const refused = new Refused(text);
  refused.status = answer.status;
  throw refused;
}
const json = async (path, options) => (await ask(path, options)).json();

// A line above the page; what the page was about to do is done once there is a key.
let keyed = () => {};
function askForKey(wrong) {
  if ($("key-box")) return;
  const input = make("input", {id: "key", type: "password", autocomplete: "off", required: true, spellcheck: false});
  const box = make("form", {id: "key-box", className: "wide"}, make("label", {}, "This service asks for a key ", input),
    make("button", {className: "tool first", type: "submit"}, "Use it"), make("span", {className: "error", role: "alert"}, wrong));
  box.addEventListener("submit", event => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    box.remove();
    keyed();
  });
  document.body.prepend(box);
  input.focus();
}
const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
