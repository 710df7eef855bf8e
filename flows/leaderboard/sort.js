"use strict";
for (const table of document.querySelectorAll("table.board")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const best = head.dataset.best, other = best === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === best ? other : best;
    for (const cell of heads) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const key = (row) => row.cells[column].dataset.value, sign = order === "ascending" ? 1 : -1;
    const compare = (a, b) => head.dataset.kind === "text" ? (a < b ? -1 : a > b ? 1 : 0) : a - b;
    const there = [...body.rows].filter(key), rest = [...body.rows].filter((row) => !key(row)); // what has no figure comes last
    body.append(...there.sort((a, b) => sign * compare(key(a), key(b))), ...rest);
  }));
}
