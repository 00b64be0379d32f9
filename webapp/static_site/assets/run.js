"use strict";
// A run page of an export: draws charts when they come into sight; norm, evaluation and overlays.

const dark = matchMedia("(prefers-color-scheme: dark)");
const form = document.getElementById("controls");

function draw(section) {
  const plot = section.querySelector(".plot");
  const figure = JSON.parse(section.querySelector("script").textContent);
  const style = getComputedStyle(document.body);
  Object.assign(figure.layout, {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: 13, color: style.color },
    hoverlabel: {
      ...figure.layout.hoverlabel, bgcolor: style.backgroundColor, font: { color: style.color },
    },
  });
  if (figure.layout.showlegend) { // above what marks the best epoch
    figure.layout.legend = { ...figure.layout.legend, y: 1.09 };
    figure.layout.margin = { ...figure.layout.margin, t: 60 };
  }
  const options = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetScale2d"]], toImageButtonOptions: { format: "svg" } };
  return Plotly.react(plot, figure.data, figure.layout, options);
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((e) => e.isIntersecting)) {
    seen.unobserve(entry.target);
    draw(entry.target);
    entry.target.dataset.drawn = "";
  }
}, { rootMargin: "200px" });
document.querySelectorAll(".chart").forEach((section) => seen.observe(section));
dark.addEventListener("change", () => document.querySelectorAll(".chart[data-drawn]").forEach(draw));

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
