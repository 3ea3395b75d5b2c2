
// All English texts of the pages, by page. In a text, {name} is filled in by `fill`; a pair is singular and plural, for `number`.
const TEXTS = {
  shell: {skip: "Skip to content", name: "Faces", pages: "Pages", films: "Films", people: "People", operations: "Operations", documents: "Documents",
    library: "Library", noLibrary: "none yet", forget: "Forget key", key: "{name} ({scopes})", unreachable: "The service does not answer; trying again.",
    noWorker: "No worker for {stages}: films wait until one is started (faces up).", dark: "Dark", light: "Light",
    cancel: "Cancel", close: "Close", forbidden: "{detail} Use another key for this."},
  key: {title: "This service needs a key", label: "Key", use: "Use it", wrong: "This key is not known, or was revoked.",
    hint: "Whoever runs the service makes one: faces keys create NAME. It is kept until this tab is closed.", waiting: "Nothing is shown until a key is entered."},
  units: {person: ["person", "people"], film: ["film", "films"], face: ["face", "faces"], detection: ["detection", "detections"], frame: ["frame", "frames"],
    picture: ["picture", "pictures"], worker: ["worker", "workers"], time: ["time", "times"], video: ["video", "videos"], scene: ["scene", "scenes"], year: ["year", "years"],
    seconds: "{n} s", minutes: "{n} min", hours: "{n} h", days: "{n} days", minutesSeconds: "{n} min {s} s", hoursMinutes: "{n} h {m} min", ago: "{time} ago", bytes: ["{n} kB", "{n} MB", "{n} GB"]},
  // Words of results and of the service, by their value.
  words: {pose: {front: "front", left: "left", right: "right", "front-rotate-left": "front, tilted left", "front-rotate-right": "front, tilted right"},
    emotion: {angry: "angry", disgust: "disgusted", fear: "afraid", happy: "happy", sad: "sad", surprise: "surprised", neutral: "neutral"}, gender: {M: "man", F: "woman"},
    key: {Space: "Space", Home: "Home", End: "End", Enter: "Enter", Esc: "Esc"}},
  operations: {title: "Operations", stages: "Stages", jobs: "Jobs", letters: "Dead letters", lettersOf: "Dead letters ({n} of {all})", source: "Source", part: "part of a name", together: "Show together", togetherN: "Show {n} together",
    older: "Older jobs", updated: "Updated every 2 seconds while this page is visible.", status: "Status", all: "All", cached: "{status} (cached)", noWorker: "no worker", waiting: "waiting", inProgress: "in progress", oldest: "oldest", none: "none",
    took: "{frames} in {time}", peopleStay: "people in {library} until deleted", choose: "Choose {id}", cancelJob: "Cancel {id}", keepJob: "Keep {id}", noJobs: "No jobs yet.", noMatch: "No matching jobs.", noLetters: "None.",
    columns: {show: "show", source: "source", status: "status", people: "people", detail: "detail", submitted: "submitted", kept: "kept", action: "action", givenUp: "given up", stage: "stage", type: "type", letter: "job, letter", tries: "tries", reason: "reason"},
    replay: "Replay", replayOne: "Replay {id}", noJob: "no job", sentAgain: "{attempts}, sent again {n}×", outcome: "{id}: {text}",
    outcomes: {sent: "sent again", ended: "not sent: its job has ended and its frames have expired", missing: "already sent again by another caller"},
    explain: "Messages that failed on their last attempt. Replaying one gives it all its attempts again; a job that ended without it is reopened as long as its frames are kept."},
  report: {people: "People", films: "Films", save: "Save page", progress: "Progress", filters: "Filters", video: "Video", quality: "Quality from", often: "Seen at least", pose: "Pose", looks: "Looks", order: "Order",
    orders: {presence: "most seen", quality: "best quality", first: "first seen"}, all: "all", any: "any", timeline: "Timeline", person: "A person", keysMove: "move between people,", keysOpen: "opens one,", keysNext: "then show the next,", keysClose: "closes,", keysFilter: "filters",
    parts: {size: "size", pose: "facing", occlusion: "uncovered", sharpness: "sharpness"}, about: "about {n}", nearly: "≈{n}", score: "quality {n}", scoreOf: "of the best shot, from 0 to 1", inVideos: "{times} in {videos}", from: "{times}, from {time}", span: "{from} to {to}",
    legend: {appearance: "appearance", good: "good quality", fair: "fair", poor: "poor", scene: "scene"}, shown: "{n} of {people}", noMatch: "No person matches these filters.", nobodyYet: "No people yet.", rejected: "No people are left: detections were rejected.", nobody: "No faces were found.",
    tile: "{time}, quality {n}", columns: {time: "time", quality: "quality", looks: "pose", yaw: "yaw", pitch: "pitch", roll: "roll", confidence: "confidence"}, enhanced: "enhanced", detections: "Detections", allRows: "All {n}",
    previous: "Previous", next: "Next", close: "Close", looksLike: "looks like", bestShot: "best shot", at: "{time}, {pose}", seen: "seen", seenIn: "in {percent} % of the frames, {detections}", appears: "appears", inLibrary: "in the library", inResult: "in the result",
    cohesion: "cohesion", alike: "most alike", alikeOne: "{name} ({similarity})", when: "When", some: "{n} of {detections}", allDetections: "All detections", inFrames: "{detections} in {n} of {all} frames", inAlbum: "{detections} in {n} of {all} pictures", upTo: "up to {time}", model: "model pack {name}",
    failedFrames: "{frames} could not be analysed.", firstPeople: "The first {n} of {people} are shown.", title: "{people} in {where}", soFar: "{people} so far in {where}",
    done: "{n} of {all} done", problem: "{id}: {text}", deleted: "deleted", nothing: "No people to show", waiting: "Waiting for the first frames", noJobs: "No jobs: add ?jobs=JOB_ID to the address"},
  people: {title: "People", views: "Views", people: "People", questions: "Questions", photograph: "Find by photograph", history: "Changes",
    unnamed: "Unnamed person", portrait: "Portrait of {name}", portraitUnnamed: "Portrait of an unnamed person",
    onScreen: "{time} on screen", inPictures: ["in 1 picture", "in {n} pictures"], inFilms: "in {films}, {figure}",
    addName: "Add a name", nameFor: "Add a name: unnamed person {figures}", rename: "{name}, change the name", choose: "Choose {name}", chooseUnnamed: "Choose unnamed person {figures}",
    open: "{name}, {figures}", question: ["question", "questions"], openQuestion: ["open question", "open questions"], hidden: "hidden",
    name: "Name", save: "Save", cancel: "Cancel", undo: "Undo", ok: "OK", found: "{n} names to choose from",
    search: "Search by name", searchLabel: "Search by name", sort: "Sort", filter: "Show",
    sorts: {films: "Most films first", time: "Longest on screen first", newest: "Newest first", name: "By name", doubt: "Most questions first"},
    filters: {all: "Everyone", named: "With a name", unnamed: "Without a name", hidden: "Hidden"},
    shown: "{n} of {people}", cut: ", the oldest ones: there are more than a page can show", nobody: "Nobody matches this search and filter.", nobodyYet: "Nobody is in this library yet. Give the service a film on the page Films; its people appear here while it is analysed.",
    noLibrary: "There is no library yet. It begins with the first film that is analysed.", toFilms: "To the films",
    keys: "Keys on a person: arrows move, N names, X chooses, M merges what is chosen, H hides, Ctrl+Z takes the last change back. Dragging a person onto another merges them.",
    chosen: "{n} chosen", actions: "What is chosen", mergeChosen: "Merge", hide: "Hide", show: "Show again", clear: "Choose none",
    merge: "Are {a} and {b} one person?", mergeMany: "Are these {n} one and the same person?", mergeHelp: "Their films and pictures come together. You can undo this.",
    keepName: "Name that stays", mergeYes: "Yes, one person", mergeNo: "No, different people",
    taken: "{name} is a name in this library already", takenAsk: "Is this the same person?", takenYes: "Yes, the same person", takenNo: "No, another {name}",
    refused: "This cannot be done", gone: "somebody who was merged or erased", goneWhile: "This person was changed elsewhere and is no longer in this list. The name was not saved.", somebody: "an unnamed person",
    did: {named: "Named {name}.", renamed: "{before} is {name} now.", unnamed: "{before} has no name now.", merged: "Merged into one person.", split: "What was chosen is another person now.",
      moved: "Moved to {name}.", differ: "Noted: different people.", same: "Joined: one person.", hidden: ["1 person hidden.", "{n} people hidden."],
      shown: ["1 person shown again.", "{n} people shown again."], undone: "Taken back.", waits: "Accepted. It is applied as soon as a worker of the library runs."},
    likely: [[0.99, "almost certainly"], [0.9, "very likely"], [0.7, "likely"], [0.4, "perhaps"], [0.15, "unlikely"], [0, "very unlikely"]], likelihood: "{words}, {percent}", percentOver: "over 99.9 %", percentUnder: "under 0.1 %",
    ask: {title: "Are these two the same person?", says: "The faces alone say: {likelihood}.", yes: "Same person", no: "Different people", skip: "Skip", undo: "Undo",
      none: "No open questions. A question comes up when two people look alike, but not enough to join them.", noneLeft: "No other questions.", left: "{questions}. What settles most comes first.",
      skipped: ["You skipped 1 question.", "You skipped {n} questions."], again: "Ask again", seenIn: "in {film}", seenAt: "in {film} at {time}", more: "The same person elsewhere", answers: "Answers",
      keys: "Keys: Y same, N different, S skip, U undo"},
    photo: {title: "Who is on this photograph?", drop: "Drop a photograph here, paste one, or", choose: "choose a file", about: "Its faces are compared with everyone in this library. The photograph is not kept.",
      searching: "Looking for faces…", found: "{faces} found. The framed one is searched for; choose another to search for that.", one: "1 face found.", face: "Face {n} of {total}: search for it",
      results: "Who it may be", none: "Nobody in this library looks like this face.", is: "{words} this person, {percent}", similarity: "similarity of the faces {similarity} (1 is the same picture)",
      unreadable: "This browser cannot show the picture. It is searched for all the same.", alt: "Your photograph"},
    log: {none: "Nothing has been changed yet. Every name, merge and other correction is listed here and can be taken back.", by: "with the key {key}", undone: "taken back", undo: "Undo: {what}", more: "Earlier changes",
      name: "{who} was named {name}", nameless: "The name of {who} was taken away", merge: "{a} and {b} were merged", joined: "Somebody was merged into {a}: {likelihood} one person", joinedBoth: "{a} and {b} were merged: {likelihood} one person", itself: "by the service itself", split: "{who} in {films} became another person", move: "A picture was moved to {who}",
      differ: "{a} and {b} were held apart", divide: "{detections} of a film became another person", same: "Two faces were said to be one person", hide: "{who} was hidden", show: "{who} was shown again", undoing: "An automatic merge was taken back"}},
  person: {title: "Person", back: "All people", films: "Films", shots: "Best shots", together: "Together with", alone: "Nobody else is in these films.", missing: "There is no such person in this library. They may have been erased.",
    hide: "Hide", show: "Show again", merge: "Merge with…", mergeTitle: "Who is the same person?", export: "Export", csv: "Films as a table (CSV)", json: "Everything (JSON)", vtt: "Names as subtitles: {film} (WebVTT)",
    erase: "Erase…", eraseTitle: "Erase {name} for ever?", eraseHelp: "The name, all pictures and all face data of this person are deleted, in this library and in the results of its films. The films themselves stay. Nobody can take this back. In a film that is analysed later, the person appears as somebody new.", eraseYes: "Erase for ever",
    choose: "Choose the face in {film}", split: "Make another person", move: "Move to…", moveTitle: "Who is it?", notThis: "Not this person", notThisIn: "Not this person: the face in {film}", some: "Only some pictures…", someIn: "Only some pictures… of {film} are somebody else", allLeave: "At least one film has to stay with the person.",
    when: "When", openAt: "Open {film} at {time}", times: ["once", "{n} times"],
    belongs: {first: "Nobody known looked like this when it was added", faces: "Recognised when it was added: {likelihood}", later: "Put here later, by a correction or by grouping anew"}, common: "{films} in common", same: "{time} at the same time", samePictures: ["1 picture with both", "{n} pictures with both"], never: "never at the same time", moreFilms: "More films", incomplete: "The first {n} films were looked at.",
    pick: "Search by name", nobody: "Nobody has that name.", hiddenNote: "Hidden: not in the list of people."},
  job: {queued: "Waiting", processing: "Running", completed: "Done", failed: "Failed", cancelled: "Cancelled", kept: "Kept until deleted", gone: "Gone in {time}",
    keep: "Keep", remove: "Delete", cancel: "Cancel", retry: "Try again", unnamed: "Person {n}", added: "added", sourceId: "source id {id}", unclear: "Too unclear to identify",
    removed: "Deleted.", keptNow: "Kept until it is deleted.", cancelled2: "Cancelled.", again: "Runs again.", sure: "Delete {name}?",
    sureText: "Its result, pictures and times are deleted; an uploaded file too. Files of the media directories stay.", sureLibrary: "Its people stay in the library {library}; the page of people removes them.",
    nobody: "No faces were found.", cached: "answered from an earlier analysis",
    hints: [[/ is empty|incomplete|being copied/i, "Copy the file again, or wait until it is complete; then try again."], [/no file at|does not exist|absolute path/i, "Check the path; the machine that analyses has to see the file under this path."], [/outside the directories/i, "Choose a file below the media directories, or ask whoever runs the service to add this one (FACES_MEDIA_ROOTS)."],
      [/not allowed|allowed hosts|FACES_ALLOWED_HOSTS/i, "Whoever runs the service decides which addresses may be fetched (FACES_ALLOWED_HOSTS)."], [/memory|too large|max_pixels/i, "The film is larger than this service allows; a smaller version may work."],
      [/deadline|longer than/i, "It took longer than is allowed. Try again, or take fewer frames."], [/cannot be (read|decoded|opened)|no video|damaged|invalid data/i, "The file is damaged, or of a kind that cannot be read. If it plays elsewhere, convert it to MP4."]],
    hint: "Try again; if it fails once more, the operations page may say more."},
  home: {title: "Films", add: "Add a film", source: "Path or address of a film", place: "/films/holiday.mp4, an address, or drop a file here", analyse: "Analyse", browse: "Browse…", upload: "Upload…",
    drop: "Drop the film to upload it", joins: "The people join the library {library}.", unnamed: "Unnamed", soFar: "{people} so far", may: "This key may look, not add films.", search: "Search films and names", status: "Show", all: "all films",
    running: "running", done: "done", failed: "failed or cancelled", older: "Older films", people: "People", everybody: "All people", nothing: "No film matches.", nothingHere: "There are no films here.", from: "From", ofLibrary: "library {library}", ofNone: "no library", ofAll: "all films", joinsNone: "The people join no library.", submitted: "{name} is being analysed.",
    emptyTitle: "Give Faces its first film", empty: "Type a path, drop a file anywhere on this page, or look through the media directories. The people appear while the film is analysed; click one to give a name.",
    earlier: "Earlier films", earlierText: "Their results are gone; their people stay in the library.", earlierOne: "{people}, analysed {age} ago", again: "Analyse again", demo: "Try the demo film", making: "Making the demo film…", demoText: "12 seconds, six people, made on this machine.", more: "{n} more", faces: "People of {name}",
    uploading: "Uploading {name}: {done} of {all}", uploadFailed: "{name}: {reason} Drop it again to go on where it stopped.", noUpload: "This service takes no uploads. Give a path that it can see.", tooLarge: "{name} is larger than {limit}.", noBytes: "{name} is empty.", stop: "Stop", stopped: "The upload was stopped.", noFolder: "Folders cannot be dropped; drop films.",
    picker: "Choose a film", up: "Up one directory", roots: "Media directories", pick: "Analyse this folder of pictures", truncated: "Only the first {n} entries are shown.", emptyFolder: "No films, pictures or folders here.", directory: "folder", film: "film", picture: "picture", progress: "{percent} %, {message}"},
  film: {title: "Film", progress: "Progress of the analysis", player: "Player", seek: "Position", play: "Play", pause: "Pause", before: "Previous moment with a face", after: "Next moment with a face", speed: "Speed", mute: "Mute", unmute: "Unmute",
    boxes: "Boxes and names", full: "Full screen", exact: "detected at this moment", between: "between two samples: the place is an estimate", people: "People", timeline: "Timeline", keys: "Keys", analysed: "analysed", inLibrary: "library {library}",
    figures: "All figures", cancelled: "The analysis was cancelled.", failedFrames: "{frames} could not be analysed.", once: "one detection",
    seconds: "{time} on screen", here: "on screen", notYet: "No people yet.", noPeople: "no people", rejected: "No people are left: all detections were rejected as too uncertain.", goTo: "Go to {time}", personPage: "Person in all films", some: "{n} of {all} detections",
    unclearPerson: "This face shows too little to say who it is. It is one detection and belongs to no person.", appearances: "Appearances", nameOf: "Name of this person", divide: "Some are somebody else…", divideTitle: "Which pictures show somebody else?", divideHelp: "What is chosen becomes another person, here and in the library. The film is looked at again for that, in every later analysis too. You can undo this.",
    divideAt: "Somebody else: {time}", divideRuns: "Choose whole appearances", divideYes: "Make another person", divideAll: "At least one picture has to stay with the person.", divideGone: "The library does not have this film any more.", divided: "What was chosen is another person now.", dividedLater: "Noted. It shows when the film is analysed again.", name: "Save name", named: "Saved: {name}.", rowLabel: "{name}: {times}", shots: "{n} shots, marked by lines",
    timeOf: "{time} of {all}", now: "On screen: {names}", nobodyNow: "Nobody was seen at this moment.", pictureOf: "Picture {n} of {all}", bestShot: "best shot", atMoment: "Faces at this moment",
    missing: "There is no such film. It was deleted, or its result is older than results are kept.", lost: "The connection to the film was lost. Load the page again to play it.",
    unplayable: "This browser cannot play this film ({codec}).", noMedia: "The film itself cannot be shown here: it is an address, or not on this machine.", album: "An album has no player: these are the faces of each picture.", picture: "picture {n}", moments: "These are the moments at which faces were seen.",
    keyPlay: "play and pause", keyShort: "5 seconds back and on", keyLong: "10 seconds back and on", keyFrame: "one frame back and on", keyMoment: "previous and next moment with a face", keyEnds: "beginning and end", keyTenths: "tenths of the film", keyMute: "sound", keyBoxes: "boxes and names", keyFull: "full screen"},
};
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => isolated(String(values[name])));
// A value with letters or marks of right-to-left scripts, between marks that keep it from reordering the text around it.
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}\u200f\u202a-\u202e\u2066-\u2069]/u;
const isolated = text => RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
const number = (n, [one, many]) => `${n} ${n === 1 ? one : many}`;
const some = (n, [one, many]) => n === 1 ? one : fill(many, {n});

// The word for a value of a result or of the service; a value without one is shown as it is.
const word = (kind, value) => TEXTS.words[kind][value] || value;
const keyName = name => word("key", name);

// Fills elements in that name a text: data-t (content), data-t-label (aria-label), data-t-hint (placeholder).
function fillTexts(root) {
  const text = name => name.split(".").reduce((part, key) => part[key], TEXTS);
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = text(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", text(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-hint]")) node.placeholder = text(node.dataset.tHint);
}
