"use strict";
(() => {
  const FILTERED_FROM = 9;
  const UNITS = {
    ms: 1e-3, s: 1, min: 60, h: 3600, day: 86400, days: 86400,
    KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4, k: 1e3, M: 1e6, G: 1e9,
  };
  const NUMBER = /^[<~]?([+\-\u2212]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s?(ms|s|min|h|days?|[KMGT]iB|k|M|G|%)(?!\w))?(?=$|[\s,·x%])/;
  const words = new Intl.Collator("en", { numeric: true });

  // "49.0 ± 1.9" is 49, "12.3 min" is 738, "35.1 to 40.9" is 35.1; null where a text does not begin with a number.
  const number = (text) => {
    const found = NUMBER.exec(text);
    if (!found) return null;
    return Number(found[1].replace(/,/g, "").replace("\u2212", "-")) * (UNITS[found[2]] ?? 1);
  };
  const empty = (text) => text === "" || text === "-";
  const textOf = (row, column) => row.cells[column].textContent.trim();

  // Numbers come before words, and what is empty comes last, in either direction.
  const keyOf = (text, numeric) => {
    if (empty(text)) return [2, 0];
    if (!numeric) return [0, text];
    const value = number(text);
    return value === null ? [1, text] : [0, value];
  };
  const compare = (one, other, direction) => {
    if (one[0] !== other[0]) return one[0] - other[0];
    if (one[0] === 2) return 0;
    const both = typeof one[1] === "number" ? one[1] - other[1] : words.compare(one[1], other[1]);
    return direction * both;
  };

  const sorted = (rows, column, direction) => {
    const texts = rows.map((row) => textOf(row, column));
    const filled = texts.filter((text) => !empty(text));
    const numeric = 2 * filled.filter((text) => number(text) !== null).length >= filled.length;
    const keyed = rows.map((row, place) => [row, keyOf(texts[place], numeric)]);
    return keyed.sort((a, b) => compare(a[1], b[1], direction)).map(([row]) => row);
  };

  const makeSortable = (table, rows) => {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      if (!button.textContent.trim()) button.setAttribute("aria-label", `column ${column + 1}`);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", next);
        body.append(...(next === "none" ? rows : sorted(rows, column, next === "ascending" ? 1 : -1)));
      });
    });
  };

  const makeFilterable = (table, rows) => {
    const box = table.closest("[data-table]");
    const tools = document.createElement("div");
    tools.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.name = "filter";
    input.placeholder = "Filter rows";
    input.setAttribute("aria-label", `Filter rows of ${box.dataset.table}`);
    const count = document.createElement("output");
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const apply = () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !wanted.every((word) => texts[place].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    };
    input.addEventListener("input", apply);
    apply();
    tools.append(input, count);
    box.prepend(tools);
  };

  for (const table of document.querySelectorAll("[data-table] table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length > 1) makeSortable(table, rows);
    if (rows.length >= FILTERED_FROM) makeFilterable(table, rows);
  }

  // What is folded is printed, and a link into it opens it.
  const folded = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = folded(); opened.forEach((part) => { part.open = true; }); });
  addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); });
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = target?.closest("details");
    if (around) { around.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
