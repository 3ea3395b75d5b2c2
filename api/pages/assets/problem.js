
// The page in place of problem details: what happened, what to do, where to go on.
const {status, detail, request_id: requestId} = JSON.parse($("data").textContent);
const [title, advice] = TEXTS.problem[status] || TEXTS.problem[status < 500 ? 400 : 500];
fillTexts(document);
drawHeader("problem");
document.title = `${title} · ${TEXTS.shell.name}`;
$("title").textContent = title;
$("detail").textContent = detail;
$("hint").textContent = advice;
$("films").href = link("");
$("number").textContent = status < 500 ? "" : fill(TEXTS.problem.number, {id: requestId});
