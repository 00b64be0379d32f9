"use strict";
// Draws the charts of an exported page when they come into sight, and all of them before printing.

const dark = matchMedia("(prefers-color-scheme: dark)");

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
  for (const axis of Object.keys(figure.layout).filter((key) => /^[xy]axis/.test(key))) {
    figure.layout[axis].ticklabelstandoff = 5; // where axes meet, their labels would overlap
  }
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

window.addEventListener("beforeprint", () => {
  document.querySelectorAll(".chart:not([data-drawn])").forEach((section) => {
    if (section.closest("[hidden]")) return;
    seen.unobserve(section);
    draw(section);
    section.dataset.drawn = "";
  });
});
