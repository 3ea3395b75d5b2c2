
// Fields to choose a person in, by name or picture: a combobox as the ARIA authoring practices describe it.
const MAX_OPTIONS = 8;  // of a field that opens a list
let fields = 0;

// A text field with people to choose from. `find(text)`: the people; `pick(person)`: one was chosen. `box` holds the list.
function personField({value, label, find, pick, open = false, detail = figures}) {
  const id = "field-" + ++fields, list = make("ul", {id: id + "-list", role: "listbox", className: "options", hidden: true});
  const input = make("input", {id, type: "text", value, autocomplete: "off", spellcheck: false, maxLength: 200, role: "combobox",
    "aria-label": label, "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id});
  let found = [], active = -1;
  list.setAttribute("aria-label", label);
  const show = on => { list.hidden = !on; input.setAttribute("aria-expanded", String(on)); if (!on) mark(-1); };
  const mark = n => {
    active = n;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === n)));
    if (n < 0) input.removeAttribute("aria-activedescendant");
    else { input.setAttribute("aria-activedescendant", list.children[n].id); list.children[n].scrollIntoView({block: "nearest"}); }
  };
  const refresh = () => {
    found = find(input.value);
    list.replaceChildren(...found.map((one, i) => make("li", {id: `${id}-${i}`, role: "option", "aria-selected": "false",
      onpointerdown: event => event.preventDefault(), onclick: () => { show(open); pick(one); }}, portrait(one, "face", ""),
      make("span", {}, make("b", {}, called(one)), make("span", {className: "soft"}, detail(one))))));
    show(found.length > 0);
    mark(open && found.length ? 0 : -1);
  };
  input.addEventListener("input", refresh);
  input.addEventListener("keydown", event => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) refresh();
      if (found.length) mark((active + step + found.length) % found.length);
    } else if (event.key === "Enter" && active >= 0 && !list.hidden) {
      event.preventDefault();
      const one = found[active];
      show(open);
      pick(one);
    } else if (event.key === "Escape" && !list.hidden && !open) {
      event.preventDefault();
      event.stopPropagation();
      show(false);
    }
  });
  if (!open) input.addEventListener("blur", () => show(false));
  if (open) refresh();
  return {input, list, refresh};
}
const starts = (label, text) => label.toLocaleLowerCase().split(/\s+/).some(word => word.startsWith(text)) ? 0 : 1;
// People with a name that has this text in it; those where a word begins with it first.
function byName(text, but) {
  const wanted = text.trim().toLocaleLowerCase();
  return !wanted ? [] : [...everyone.values()].filter(one => one.person_id !== but && one.label && one.label.toLocaleLowerCase().includes(wanted))
    .sort((a, b) => starts(a.label, wanted) - starts(b.label, wanted) || a.label.localeCompare(b.label));
}

// Replaces a button by a field for the name; `done` is called afterwards, to give the focus back.
function editName(button, one, done) {
  const card = button.closest(".card"), editing = on => { if (card) card.classList.toggle("editing", on); };
  const finish = () => { editing(false); form.replaceWith(button); done(); };
  let saved = false;
  const save = async (text, chosen) => {
    if (saved) return;
    saved = field.input.readOnly = true;
    await guard(namePerson(one, text, chosen));
    finish();
  };
  const field = personField({value: one.label || "", label: T.name, find: text => byName(text, one.person_id).slice(0, MAX_OPTIONS), pick: other => save(other.label, other)});
  const form = make("form", {className: "naming"}, field.input, field.list, make("button", {className: "tool first", type: "submit"}, T.save), make("button", {className: "tool", type: "button", onclick: finish}, T.cancel));
  form.addEventListener("submit", event => { event.preventDefault(); save(field.input.value); });
  form.addEventListener("keydown", event => { if (event.key === "Escape") finish(); event.stopPropagation(); });
  editing(true);
  button.replaceWith(form);
  field.input.focus();
  field.input.select();
}

const LEAST_LIKELY = 0.02;  // probability below which somebody is not put first for looking alike
// Asks for a person: those of `looks` first, with how likely each is it; resolves to the person, or null.
function choosePerson(title, looks, but) {
  const similar = looks.filter(one => one.probability >= LEAST_LIKELY), likely = new Map(similar.map(({person, probability}) => [person.person_id, probability]));
  const rest = () => [...everyone.values()].filter(one => one.person_id !== but && !one.hidden).sort((a, b) => !a.label - !b.label || (a.label || "").localeCompare(b.label || "") || b.films - a.films);
  const find = text => {
    const all = text.trim() ? byName(text, but) : [...similar.map(({person}) => person).filter(one => one.person_id !== but), ...rest().filter(one => !likely.has(one.person_id))];
    none.hidden = all.length > 0;
    return all.slice(0, 100);
  };
  const none = make("p", {className: "soft", role: "status", hidden: true}, TEXTS.person.nobody);
  return new Promise(done => {
    let chosen = null;
    const field = personField({value: "", label: TEXTS.person.pick, find, open: true, pick: one => { chosen = one; box.close(); },
      detail: one => likely.has(one.person_id) ? `${likelihood(likely.get(one.person_id))} · ${figures(one)}` : figures(one)});
    field.input.placeholder = TEXTS.person.pick;
    const box = make("dialog", {className: "ask pick-person", "aria-labelledby": "dialog-title"}, make("h2", {id: "dialog-title"}, title), field.input, none, field.list,
      make("p", {className: "tools"}, make("button", {className: "tool", type: "button", onclick: () => box.close()}, T.cancel)));
    box.addEventListener("close", () => { box.remove(); done(chosen); });
    document.body.append(box);
    box.showModal();
    field.input.focus();
  });
}
