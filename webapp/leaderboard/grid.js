// Builds the table of the leaderboard. Names come from anybody: they are set as text, never as markup.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function heading(column, send) {
  const kind = [column.number ? "number" : "", column.key].join(" ").trim();
  const cell = element("th", { scope: "col", class: kind, title: column.help });
  if (!column.sort) {
    cell.append(column.title);
    return cell;
  }
  cell.ariaSort = column.direction;
  const button = element("button", { type: "button" }, column.title);
  // In words: the arrow of a score says which end is good, and a second one would contradict it.
  if (column.sorted) button.append(element("span", { class: "sorted" }, column.sorted));
  button.addEventListener("click", () => send("sort", column.sort));
  cell.append(button);
  return cell;
}

function named(row, cell, send) {
  const outside = row.target === null;
  const link = element("a", { href: row.href, target: outside ? "_blank" : null, rel: outside ? "noopener" : null }, cell.text);
  if (row.open !== undefined) link.ariaExpanded = String(row.open);
  if (!outside) {
    link.addEventListener("click", (event) => { // another tab or window is the browser's affair
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      send("open", row.target);
    });
  }
  const head = element("th", { scope: "row" }, link);
  if (row.note) head.append(element("sup", {}, `[${row.note}]`));
  return head;
}

function value(cell, column) {
  const marks = { best: "strong", second: "u" };
  const said = cell.mark ? element(marks[cell.mark], {}, cell.text) : cell.text;
  const names = { best: " (best)", second: " (second)" };
  const kind = column.number ? "number" : column.key;
  const hint = cell.hover || (column.key === "short_id" ? cell.text : null);
  const made = element("td", { class: kind, title: hint }, said);
  if (cell.mark) made.append(element("span", { class: "spoken" }, names[cell.mark]));
  return made;
}

function line(row, columns, boxes, send) {
  const tr = element("tr", { class: [row.kind, row.ranked ? "" : "unranked"].join(" ").trim() });
  const tick = element("td", { class: "tick" });
  if (row.tick) {
    const name = row.cells[columns.findIndex((column) => column.key === "name")].text;
    const box = element("input", { type: "checkbox", "aria-label": `Compare ${name}`, value: row.tick });
    box.checked = row.ticked;
    box.addEventListener("change", () => {
      send("ticked", [...new Set(boxes().filter((one) => one.checked).map((one) => one.value))]);
    });
    tick.append(box);
  }
  tr.append(tick, ...row.cells.map((cell, i) => (
    columns[i].key === "name" ? named(row, cell, send) : value(cell, columns[i])
  )));
  return tr;
}

export default function leaderboard({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".board");
  const scrolled = root.querySelector(".scroller")?.scrollLeft ?? 0;
  const boxes = () => [...root.querySelectorAll("input[type=checkbox]")];
  const corner = element("th", { scope: "col", class: "tick" }, element("span", { class: "spoken" }, "Compare"));
  const table = element("table", { "aria-label": data.name },
    element("thead", {}, element("tr", {}, corner, ...data.columns.map((column) => heading(column, setTriggerValue)))),
    element("tbody", {}, ...data.rows.map((row) => line(row, data.columns, boxes, setTriggerValue))));
  const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": data.name }, table);
  root.replaceChildren(scroller);
  scroller.scrollLeft = scrolled;
}
