// Put into the box at the end of the page how long it ran, and when: that differs from build to build.
(async () => {
  const place = document.querySelector("[data-provenance]");
  if (!place || location.protocol === "file:") return;
  const root = document.documentElement.dataset.content_root || "./";
  const answer = await fetch(new URL(root + "provenance.json", location.href)).catch(() => null);
  if (!answer || !answer.ok) return;
  const page = (await answer.json()).pages[place.dataset.provenance];
  if (page) place.textContent = `${page.executed}, ${page.seconds.toFixed(1)} s`;
})();
