// Pointing at a picture of codes tells whose code is nearest. The page says
// all it has to say without this.
"use strict";
for (const picture of document.querySelectorAll(".picture[data-points]")) {
  const {panels, points} = JSON.parse(
      document.getElementById(picture.dataset.points).textContent);
  const reach = 14;  // pixels
  const [tip, ...dots] = ["tip", ...panels.map(() => "dot")].map((name) => {
    const box = document.createElement("div");
    box.className = name;
    return picture.appendChild(box);
  });
  const hide = () => {
    for (const box of [tip, ...dots]) box.style.display = "none";
  };
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("pointermove", (event) => {
    const frame = picture.querySelector("img").getBoundingClientRect();
    const x = event.clientX - frame.left, y = event.clientY - frame.top;
    let best = null, least = reach;
    for (const [left, top, width, height] of panels) {
      for (const [u, v, words] of points) {
        const d = Math.hypot((left + u * width) * frame.width - x,
                             (top + v * height) * frame.height - y);
        if (d < least) [best, least] = [[u, v, words], d];
      }
    }
    if (!best) return hide();
    const [u, v, words] = best;
    panels.forEach(([left, top, width, height], i) => {
      dots[i].style.left = `${(left + u * width) * frame.width}px`;
      dots[i].style.top = `${(top + v * height) * frame.height}px`;
      dots[i].style.display = "block";
    });
    tip.textContent = words;
    tip.style.display = "block";
    const over = x + 16 + tip.offsetWidth > frame.width;
    tip.style.left = `${over ? x - 16 - tip.offsetWidth : x + 16}px`;
    tip.style.top = `${y + 16}px`;
  });
}
