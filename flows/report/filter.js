"use strict";
const away = new Set(); // languages that are not shown
for (const group of document.querySelectorAll(".languages")) {
  group.hidden = false;
  for (const button of group.querySelectorAll("button")) button.addEventListener("click", () => {
    const show = button.getAttribute("aria-pressed") === "false", language = button.dataset.language;
    button.setAttribute("aria-pressed", show);
    if (show) away.delete(language); else away.add(language);
    for (const element of document.querySelectorAll("[data-of]")) if (element.dataset.of === language) element.classList.toggle("away", !show);
  });
}
