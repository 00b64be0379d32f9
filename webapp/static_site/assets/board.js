"use strict";
// The leaderboard of an export: board, normaliser, filters and sort, all kept in the address after #.
// Names come from anybody: they are set as text, never as markup.

const tables = JSON.parse(document.getElementById("tables").textContent); // scores and normalisers
const boards = JSON.parse(document.getElementById("boards").textContent);
const form = document.getElementById("controls");
const table = document.getElementById("board");
const ALL = "all"; // every normaliser of the board
const OLD_NORMS = { both: ALL }; // links of earlier versions
const DEFAULTS = { board: boards[0].id, norm: "", family: "", text: "", methods: "1", sort: "nme", order: "best" };
let state = {};

function board() { return boards.find((b) => b.id === state.board); }
function normTitle(key) { return tables.norms.find((norm) => norm.key === key).title; }

function columns() {
  const norms = state.norm === ALL ? board().norms : [state.norm];
  const scores = norms.flatMap((norm) => tables.scores.flatMap((score) => {
    const id = norms.length > 1 ? `${norm}_${score.key}` : score.key;
    const under = normTitle(norm).toLowerCase();
    const column = {
      id, title: score.title, under, low: score.low, score: true,
      value: (row) => row[`${norm}_${score.key}`], text: (row) => scoreText(row, norm, score.key),
    };
    return score.key === "nme" ? [column, interval(id, under, norm)] : [column];
  }));
  const number = (id, title, value, digits) => ({
    id, title, low: true, value, text: (row) => fixed(value(row), digits),
  });
  const word = (id, title, value) => ({ id, title, low: true, words: true, value, text: (row) => value(row) ?? "–" });
  return [
    { id: "rank", title: "#", hint: tables.rank, low: true, value: (row) => row.rank, text: place },
    { ...word("name", "Name", (row) => row.label), link: true },
    ...scores,
    { ...word("tags", "Tags", (row) => row.tags || null), varies: true },
    word("family", "Family", (row) => row.family),
    number("params", "Params, M", (row) => scaled(row.params, 1e6), 2),
    number("macs", "GMACs", (row) => scaled(row.macs, 1e9), 3),
    { ...number("ms", tables.latency, (row) => row.latency_ms, 2), varies: true, hover: (row) => (row.latency_on ? `on ${row.latency_on}` : "") },
    number("time", "Train, min", (row) => scaled(row.wall_s, 60), 1),
    { ...number("epochs", "Epochs", (row) => row.epochs_trained, 0), text: (row) => row.epochs ?? "–" },
    { id: "seed", title: "Seeds", low: true, value: (row) => row.seeds ?? 1, text: (row) => String(row.seeds ?? 1), hover: (row) => `seeds ${row.seed}` },
    { ...word("flip", "Flip test", (row) => (row.flip_test ? "yes" : "no")), varies: true },
    { ...word("status", "Status", (row) => row.condition), varies: true },
  ];
}

function interval(id, under, norm) {
  const rows = state.methods ? board().methods : board().runs;
  const said = new Set(rows.map((row) => row.interval_over));
  const over = said.size === 1 ? [...said][0] : tables.over.mixed;
  const text = (row) => {
    if (unknown(row[`${norm}_low`])) return "–";
    const few = said.size > 1 && row.interval_over !== tables.over.seeds ? " (1 seed)" : "";
    return `${fixed(row[`${norm}_low`], 2)} – ${fixed(row[`${norm}_high`], 2)}${few}`;
  };
  return {
    id: `${id}_interval`, title: `95 % interval over ${over}`, under, low: true, per_norm: true,
    value: (row) => row[`${norm}_low`], text,
  };
}

function scaled(value, unit) { return unknown(value) ? null : value / unit; }
function fixed(value, digits) { return unknown(value) ? "–" : value.toFixed(digits); }

function scoreText(row, norm, key) {
  const value = fixed(row[`${norm}_${key}`], 2);
  const sd = key === "nme" && row.sd ? row.sd[norm] : null;
  return unknown(sd) ? value : `${value} ± ${sd.toFixed(2)}`;
}

function unknown(value) { return value === null || value === undefined; }

function compare(a, b) {
  if (unknown(a)) return unknown(b) ? 0 : 1; // unknown: last
  if (unknown(b)) return -1;
  return typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true, sensitivity: "base" }) : a - b;
}

function ranked(rows) {
  const norm = state.norm === ALL ? board().norms[0] : state.norm;
  const nme = (row) => row[`${norm}_nme`];
  const known = rows.filter((row) => row.takes_place && !unknown(nme(row)));
  const printed = (row) => Number(fixed(nme(row), 2)); // what reads the same shares a place
  const rank = (row) => (!row.takes_place || unknown(nme(row)) ? null : 1 + known.filter((other) => printed(other) < printed(row)).length);
  return rows.map((row) => ({ ...row, rank: rank(row) }));
}

function place(row) { return row.ranked && !row.takes_place ? tables.floor : String(row.rank ?? "–"); }

function found(row) {
  if (state.family && row.family !== state.family) return false;
  const words = [row.name, row.family, row.preset, row.track, row.run, row.tags].filter(Boolean).join("\n");
  return words.toLowerCase().includes(state.text.trim().toLowerCase());
}

function sorted(rows, column) {
  const ascending = column.low === (state.order === "best");
  return [...rows].sort((a, b) => {
    if (a.ranked !== b.ranked) return a.ranked ? -1 : 1; // what is not ranked: last
    const [x, y] = [column.value(a), column.value(b)];
    const order = unknown(x) || unknown(y) || ascending ? compare(x, y) : compare(y, x);
    return order || compare(a.rank, b.rank);
  });
}

function render() {
  const all = ranked(state.methods ? board().methods : board().runs);
  const same = (column) => new Set(all.map(column.value)).size < 2;
  const shown = columns().filter((column) => !(column.varies && same(column))); // said of none or all
  const by = shown.find((column) => column.id === state.sort) ?? shown.find((column) => column.score);
  const rows = sorted(all.filter(found), by);
  const top = new Map(shown.filter((c) => c.score).map((c) => [c.id, bestTwo(all.filter((row) => row.ranked), c)]));
  table.tHead.rows[0].replaceChildren(...shown.map((column) => heading(column, by)));
  table.tBodies[0].replaceChildren(...rows.map((row) => line(row, shown, top)));
  const what = state.methods ? "methods" : "runs";
  const norm = state.norm === ALL ? board().norms[0] : state.norm;
  const { sentence, caveats } = board().verdicts[norm];
  const remarks = board().remarks;
  document.getElementById("verdict").textContent = sentence;
  document.getElementById("caveats").textContent = caveats.filter((one) => !remarks.includes(one)).join(" ");
  for (const part of document.querySelectorAll("[data-board]")) {
    part.hidden = part.dataset.board !== board().id || part.dataset.norm !== norm;
  }
  document.getElementById("remarks").textContent = remarks.join(" ");
  document.getElementById("headline").textContent = rows.length === all.length
    ? `${all.length} ${what} on ${board().title}` : `${rows.length} of ${all.length} ${what} on ${board().title}`;
}

function bestTwo(rows, column) {
  // Where several share the first place, nobody is second.
  const known = rows.map(column.value).filter((value) => !unknown(value)).map((value) => Number(fixed(value, 2)));
  known.sort((a, b) => (column.low ? a - b : b - a));
  return known[0] === known[1] ? known.slice(0, 1) : known.slice(0, 2);
}

function heading(column, by) {
  const cell = document.createElement("th");
  cell.scope = "col";
  if (column.words) cell.className = "words";
  if (column.id === by.id) cell.ariaSort = column.low === (state.order === "best") ? "ascending" : "descending";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = column.title;
  if (column.hint) button.title = column.hint;
  if ((column.score || column.per_norm) && state.norm === ALL) {
    const under = document.createElement("small");
    under.textContent = column.under;
    button.append(document.createElement("br"), under);
  }
  if (column.id === by.id) { // in words: the arrow of a score says which end is good
    const how = document.createElement("span");
    how.className = "sorted";
    how.textContent = `${state.order} first`;
    button.append(how);
  }
  button.addEventListener("click", () => {
    const turned = column.id === by.id && state.order === "best" ? "worst" : "best";
    change({ sort: column.id, order: turned });
  });
  cell.append(button);
  return cell;
}

function line(row, shown, top) {
  const tr = document.createElement("tr");
  if (!row.ranked) tr.className = "unranked";
  for (const column of shown) {
    const cell = document.createElement(column.link ? "th" : "td");
    if (column.words) cell.className = "words";
    if (column.link) {
      const link = document.createElement("a");
      const norm = state.norm === ALL ? board().norms[0] : state.norm;
      const of = row.flip_test ? board().id : `${board().id}/no-flip`; // as run.html names it
      link.href = `${row.page}#${new URLSearchParams({ norm, eval: of })}`;
      link.textContent = link.title = column.text(row);
      cell.scope = "row";
      cell.append(link);
    } else {
      cell.textContent = column.text(row);
      if (column.hover) cell.title = column.hover(row);
    }
    if (column.score && row.ranked) {
      const place = top.get(column.id).indexOf(Number(fixed(column.value(row), 2)));
      if (place >= 0) cell.classList.add(["best", "second"][place]);
    }
    tr.append(cell);
  }
  return tr;
}

function fromAddress() {
  state = { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  if (!boards.some((board) => board.id === state.board)) state.board = DEFAULTS.board;
  state.norm = OLD_NORMS[state.norm] ?? state.norm;
  if (![...board().norms, ALL].includes(state.norm)) state.norm = board().norms[0];
  form.elements.norm.replaceChildren(
    ...board().norms.map((key) => new Option(normTitle(key), key)), new Option("All", ALL),
  );
  const families = [...new Set(board().runs.map((row) => row.family))].sort();
  form.elements.family.replaceChildren(new Option("All", ""), ...families.map((name) => new Option(name)));
  if (!families.includes(state.family)) state.family = "";
  for (const name of ["board", "norm", "family", "text"]) form.elements[name].value = state[name];
  form.elements.methods.checked = Boolean(state.methods);
  render();
}

function change(values) {
  const wanted = new URLSearchParams();
  const next = { ...state, ...values };
  const defaults = { ...DEFAULTS, norm: boards.find((b) => b.id === next.board).norms[0] };
  for (const [name, value] of Object.entries(next)) {
    if (name in defaults && value !== defaults[name]) wanted.set(name, value);
  }
  history.replaceState(null, "", wanted.size ? `#${wanted}` : location.pathname);
  fromAddress();
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => change({
  board: form.elements.board.value, norm: form.elements.norm.value, family: form.elements.family.value,
  text: form.elements.text.value, methods: form.elements.methods.checked ? "1" : "",
}));
window.addEventListener("hashchange", fromAddress);
fromAddress();
