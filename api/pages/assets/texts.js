
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
  people: {title: "People", views: "Views", people: "People", questions: "Questions", photograph: "Find by photograph", history: "Changes",
    unnamed: "Unnamed person", portrait: "Portrait of {name}", portraitUnnamed: "Portrait of an unnamed person", noPicture: "no picture kept",
    onScreen: "{time} on screen", seen: ["seen once", "seen {n} times"], inFilms: "in {films}, {figure}",
    addName: "Add a name", nameFor: "Add a name: unnamed person {figures}", rename: "{name}, change the name", choose: "Choose {name}", chooseUnnamed: "Choose unnamed person {figures}",
    open: "{name}, {figures}", question: ["question", "questions"], openQuestion: ["open question", "open questions"], hidden: "hidden",
    name: "Name", save: "Save", cancel: "Cancel", undo: "Undo", ok: "OK", found: "{n} names to choose from",
    search: "Search by name", searchLabel: "Search by name", sort: "Sort", filter: "Show",
    sorts: {films: "Most films first", time: "Longest on screen first", newest: "Newest first", name: "By name", doubt: "Most questions first"},
    filters: {all: "Everyone", named: "With a name", unnamed: "Without a name", hidden: "Hidden"},
    shown: "{n} of {people}", nobody: "Nobody matches this search and filter.", nobodyYet: "Nobody is in this library yet. Give the service a film on the page Films; its people appear here while it is analysed.",
    noLibrary: "There is no library yet. It begins with the first film that is analysed.", toFilms: "To the films",
    keys: "Keys on a person: arrows move, N names, X chooses, M merges what is chosen, H hides, Ctrl+Z takes the last change back. Dragging a person onto another merges them.",
    chosen: "{n} chosen", actions: "What is chosen", mergeChosen: "Merge", hide: "Hide", show: "Show again", clear: "Choose none",
    merge: "Are {a} and {b} one person?", mergeMany: "Are these {n} one and the same person?", mergeHelp: "Their films and pictures come together. You can undo this.",
    keepName: "Name that stays", mergeYes: "Yes, one person", mergeNo: "No, different people",
    taken: "{name} is a name in this library already", takenAsk: "Is this the same person?", takenYes: "Yes, the same person", takenNo: "No, another {name}",
    refused: "This cannot be done", gone: "somebody who was merged or erased", somebody: "an unnamed person",
    did: {named: "Named {name}.", renamed: "{before} is {name} now.", unnamed: "{before} has no name now.", merged: "Merged into one person.", split: "What was chosen is another person now.",
      moved: "Moved to {name}.", differ: "Noted: different people.", same: "Joined: one person.", hidden: ["1 person hidden.", "{n} people hidden."],
      shown: ["1 person shown again.", "{n} people shown again."], undone: "Taken back.", erased: "Erased.", waits: "Accepted. It is applied as soon as a worker of the library runs."},
    likely: [[0.99, "almost certainly"], [0.9, "very likely"], [0.7, "likely"], [0.4, "perhaps"], [0.15, "unlikely"], [0, "very unlikely"]], likelihood: "{words}, {percent}",
    ask: {title: "Are these two the same person?", says: "The faces alone say: {likelihood}.", yes: "Same person", no: "Different people", skip: "Skip", undo: "Undo",
      none: "No open questions. A question comes up when two people look alike, but not enough to join them.", left: "{questions}. What settles most comes first.",
      skipped: ["You skipped 1 question.", "You skipped {n} questions."], again: "Ask again", seenIn: "in {film}", seenAt: "in {film} at {time}", more: "The same person elsewhere", answers: "Answers",
      keys: "Keys: Y same, N different, S skip, U undo"},
    photo: {title: "Who is on this photograph?", drop: "Drop a photograph here, paste one, or", choose: "choose a file", about: "Its faces are compared with everyone in this library. The photograph is not kept.",
      searching: "Looking for faces…", found: "{faces} found. The framed one is searched for; choose another to search for that.", one: "1 face found.", face: "Face {n} of {total}: search for it",
      results: "Who it may be", none: "Nobody in this library looks like this face.", is: "{words} this person, {percent}", similarity: "similarity of the faces {similarity} (1 is the same picture)",
      unreadable: "This browser cannot show the picture. It is searched for all the same.", alt: "Your photograph"},
    log: {none: "Nothing has been changed yet. Every name, merge and other correction is listed here and can be taken back.", by: "with the key {key}", undone: "taken back", undo: "Undo: {what}", more: "Earlier changes",
      name: "{who} was named {name}", nameless: "The name of {who} was taken away", merge: "{a} and {b} were merged", split: "{pictures} of {who} became another person", move: "A picture was moved to {who}",
      differ: "{a} and {b} were held apart", same: "Two faces were said to be one person", hide: "{who} was hidden", show: "{who} was shown again", undoing: "An automatic merge was taken back"}},
  person: {title: "Person", back: "All people", films: "Films", shots: "Best shots", together: "Together with", alone: "Nobody else is in these films.", missing: "There is no such person in this library. They may have been erased.",
    hide: "Hide", show: "Show again", merge: "Merge with…", mergeTitle: "Who is the same person?", export: "Export", csv: "Films as a table (CSV)", json: "Everything (JSON)", vtt: "Names as subtitles: {film} (WebVTT)",
    erase: "Erase…", eraseTitle: "Erase {name} for ever?", eraseHelp: "The name, all pictures and all face data of this person are deleted, in this library and in the results of its films. The films themselves stay. Nobody can take this back. In a film that is analysed later, the person appears as somebody new.", eraseYes: "Erase for ever",
    choose: "Choose the face in {film}", split: "Make another person", move: "Move to…", moveTitle: "Who is it?", notThis: "Not this person", notThisIn: "Not this person: the face in {film}", allLeave: "At least one film has to stay with the person.",
    when: "When", openAt: "Open {film} at {time}", openFilm: "Open {film}", times: ["once", "{n} times"], sampled: ["1 picture", "{n} pictures"], figures: "{time} on screen, seen in {pictures}", seenIn: "Seen in {pictures}",
    belongs: {first: "Nobody known looked like this when it was added", faces: "Recognised when it was added: {likelihood}", later: "Put here later, by a correction or by grouping anew"}, common: "{films} in common", same: "{time} at the same time", never: "never at the same time", moreFilms: "More films", incomplete: "The first {n} films were looked at.",
    pick: "Search by name", nobody: "Nobody has that name.", hiddenNote: "Hidden: not in the list of people."},
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
