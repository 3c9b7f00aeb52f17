/* portal.js - comfort only: every page works without it. */

/* The hand-over to a device: its form is sent at once; without JavaScript the Continue button does it. */
document.querySelector("form[data-submit]")?.requestSubmit();

/* A click anywhere on a row chooses the device, except on what has an act of its own. */
for (const row of document.querySelectorAll(".devices tbody tr")) {
  row.addEventListener("click", (event) => {
    if (event.target.closest("a, button, input, label")) return;
    row.querySelector("input[type=radio]").checked = true;
  });
}

/* The exact time, in the reader's own zone, on pointing at an age. */
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  if (time.textContent === time.dateTime) time.textContent = at.toLocaleString(document.documentElement.lang);
  else time.title = at.toLocaleString(document.documentElement.lang);
}
