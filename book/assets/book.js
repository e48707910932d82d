// What is wider than the page scrolls in its own box; here such boxes become reachable by keyboard.
"use strict";
(() => {
  const article = () => document.querySelector(".bd-article");

  function markFormulas() {
    const root = article();
    if (!root) return;
    // KaTeX breaks a line between the parts of a formula; only a part that is too wide must scroll
    const right = root.getBoundingClientRect().right + 1;
    for (const part of root.querySelectorAll("span.math:not(.wide) .base")) {
      if (part.getBoundingClientRect().right > right) part.closest("span.math").classList.add("wide");
    }
    const boxes = root.querySelectorAll(
      ".katex-display, span.math.wide, .pst-scrollable-table-container, div.cell_output pre"
    );
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else if (box.tabIndex === 0) box.removeAttribute("tabindex");
    }
  }

  let waiting = 0;
  function later() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(markFormulas);
  }

  document.addEventListener("DOMContentLoaded", later);
  document.addEventListener("toggle", later, true); // an opened solution may hold a wide formula
  window.addEventListener("load", later);
  window.addEventListener("resize", later);
  if (document.fonts) document.fonts.ready.then(later);
})();
