"use strict";
// A run page of an export: norm, evaluation and overlays.

const form = document.getElementById("controls");

function show() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const name of ["norm", "eval"]) {
    const control = form.elements[name];
    const known = [...control.options].some((option) => option.value === wanted.get(name));
    control.value = known ? wanted.get(name) : control.options[0].value;
  }
  for (const part of document.querySelectorAll("[data-of]")) {
    part.hidden = part.dataset.of !== form.elements.norm.value;
  }
  for (const part of document.querySelectorAll("[data-eval]")) {
    part.hidden = part.dataset.eval !== form.elements.eval.value;
  }
}

if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const wanted = new URLSearchParams({ norm: form.elements.norm.value, eval: form.elements.eval.value });
    history.replaceState(null, "", `#${wanted}`);
    show();
  });
  window.addEventListener("hashchange", show);
  show();
}

function overlays() {
  for (const box of document.querySelectorAll("[data-shows]")) {
    document.body.classList.toggle(`shows-${box.dataset.shows}`, box.checked);
  }
}
document.querySelectorAll("[data-shows]").forEach((box) => box.addEventListener("input", overlays));
overlays();
