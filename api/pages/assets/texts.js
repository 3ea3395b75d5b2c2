
// All English texts of the pages, by page. In a text, {name} is filled in by `fill`; a pair is singular and plural, for `number`.
const TEXTS = {
  shell: {skip: "Skip to content", name: "Faces", pages: "Pages", films: "Films", people: "People", operations: "Operations", documents: "Documents",
    library: "Library", noLibrary: "none yet", forget: "Forget key", key: "{name} ({scopes})", unreachable: "The service does not answer; trying again.",
    noWorker: "No worker for {stages}: films wait until one is started (faces up).", dark: "Dark", light: "Light", theme: "Switch to the {name} theme",
    cancel: "Cancel", close: "Close", forbidden: "{detail} Use another key for this."},
  key: {title: "This service needs a key", label: "Key", use: "Use it", wrong: "This key is not known, or was revoked.",
    hint: "Whoever runs the service makes one: faces keys create NAME. It is kept until this tab is closed.", waiting: "Nothing is shown until a key is entered."},
  units: {person: ["person", "people"], film: ["film", "films"], face: ["face", "faces"], detection: ["detection", "detections"], frame: ["frame", "frames"],
    worker: ["worker", "workers"], time: ["time", "times"]},
  operations: {title: "Operations", stages: "Stages", jobs: "Jobs", letters: "Dead letters", source: "Source", part: "part of a name", together: "Show together",
    older: "Older jobs", updated: "Updated every 2 seconds while this page is visible.",
    explain: "Messages that failed on their last attempt. Replaying one gives it all its attempts again; a job that ended without it is reopened as long as its frames are kept."},
  home: {title: "Films"},
};
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (n, pair) => count(n, ...pair);

// Fills elements in that name a text: data-t (content), data-t-label (aria-label), data-t-hint (placeholder).
function fillTexts(root) {
  const text = name => name.split(".").reduce((part, key) => part[key], TEXTS);
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = text(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", text(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-hint]")) node.placeholder = text(node.dataset.tHint);
}
