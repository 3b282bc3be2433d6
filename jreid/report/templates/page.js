"use strict";
// The filter of the ranked lists. Without it all lists are shown.
const form = document.getElementById("filter");
if (form) {
  const lists = [...document.querySelectorAll(".ranked")];
  const status = document.getElementById("filter-status");
  const show = () => {
    const { name, camera, first } = form.elements;
    const part = name.value.trim().toLowerCase();
    let shown = 0;
    for (const list of lists) {
      const { name: query, camera: from, first: found } = list.dataset;
      list.hidden = !(
        query.toLowerCase().includes(part) &&
        (!camera.value || camera.value === from) &&
        (!first.value || first.value === found)
      );
      shown += !list.hidden;
    }
    for (const group of document.querySelectorAll(".group"))
      group.hidden = !group.querySelector(".ranked:not([hidden])");
    status.textContent = `${shown} of ${lists.length} queries shown`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  form.hidden = false;
  show();
}
