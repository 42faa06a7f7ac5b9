"use strict";
// What a threshold keeps, in words: curve holds the counts at each step of the slider.
function whatIsKept(curve, step, at) {
  const share = curve.share[at];
  const chance = share === null || share === undefined ? "" : `, estimated false share ${(100 * share).toFixed(1)}%`;
  const decoys = curve.decoys[at] ? `, ${curve.decoys[at].toLocaleString("en")} decoys would pass` : "";
  return `at ${(at * step).toFixed(2)} nats: ${curve.kept[at].toLocaleString("en")} calls${decoys}${chance}`;
}

// Moves the line of a chart and colours the bars that are kept.
function moveThreshold(chart, threshold) {
  const low = Number(chart.dataset.low), high = Number(chart.dataset.high);
  const left = Number(chart.dataset.left), right = Number(chart.dataset.right);
  const x = left + (Math.min(Math.max(threshold, low), high) - low) / (high - low) * (right - left);
  const line = chart.querySelector(".threshold");
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  for (const bar of chart.querySelectorAll(".bar")) {
    bar.classList.toggle("kept", Number(bar.dataset.from) + 1e-9 >= threshold);
  }
}

function show(slider) {
  const at = Number(slider.value), step = Number(slider.dataset.step);
  const tool = slider.closest(".tool");
  tool.querySelector(".live").textContent = whatIsKept(JSON.parse(slider.dataset.curve), step, at);
  moveThreshold(tool.querySelector(".chart"), at * step);
}

for (const slider of document.querySelectorAll("input[type=range]")) {
  slider.addEventListener("input", () => show(slider));
  show(slider);
}
