// Hints fold by themselves; on paper they are open.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((hint) => { hint.open = true; }));

// A formula in a line that is wider than the column becomes a block that scrolls by itself.
function fold() {
  for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
    formula.classList.remove("long");
    const column = formula.closest("p, li, td, dd, div");
    if (column && formula.scrollWidth > column.clientWidth) formula.classList.add("long");
  }
}
addEventListener("load", () => window.MathJax?.startup?.promise?.then(fold));
addEventListener("resize", fold);
