"use strict";
// Sorting: a number in data-sort, else the text; empty cells last in both directions.
function sortBy(table, column, ascending) {
  const key = row => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows);
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (cell.ariaSort !== null) cell.ariaSort = i !== column ? "none" : ascending ? "ascending" : "descending";
  });
}
for (const table of document.querySelectorAll("table[data-sortable]")) {
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    cell.ariaSort = "none";
    // What is better first: high accuracy, low cost.
    const first = cell.dataset.first !== "descending";
    button.addEventListener("click", () =>
      sortBy(table, i, cell.ariaSort === "none" ? first : cell.ariaSort === "descending"));
  });
}
for (const gallery of document.querySelectorAll(".gallery")) {
  const form = gallery.querySelector(".filters");
  const tiles = [...gallery.querySelectorAll("li")];
  const [kind, doubt, count] = ["select", "input", "output"].map(name => form.querySelector(name));
  const show = () => {
    for (const tile of tiles)
      tile.hidden = (kind.value && tile.dataset.kind !== kind.value) || (doubt?.checked && !tile.dataset.doubt);
    count.value = `${tiles.filter(tile => !tile.hidden).length} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", event => event.preventDefault());
  show();
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
