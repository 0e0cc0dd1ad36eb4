// Buttons that copy the text of another element: data-copy names it.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const named = button.dataset.named ??= button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Press Ctrl + C";
  }
  document.getElementById("said").textContent = button.textContent;
  setTimeout(() => { button.textContent = named; }, 2000);
});
