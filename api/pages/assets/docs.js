
// The page of the documents: its content is in it; the requests get the address that this browser uses.
fillTexts(document);
drawHeader("documents");
for (const node of document.querySelectorAll(".origin")) node.textContent = location.origin;
