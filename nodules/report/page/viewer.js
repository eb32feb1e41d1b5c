// The viewer of a scan: shows slices, draws rings, and goes where keys, wheel and clicks lead.
"use strict";

function startViewer(root, data) {
  const screen = root.querySelector(".screen");
  const image = screen.querySelector("img");
  const rings = screen.querySelector(".rings");
  const level = root.querySelector(".overview .level");
  const overview = root.querySelector(".overview svg");
  const rows = new Map([...root.querySelectorAll("tr.mark")].map((row) => [row.dataset.label, row]));
  const input = (name) => root.querySelector(`input[name=${name}]`);
  const last = data.slices.length - 1;
  let line = 0;
  let wanted = 0;
  let turned = 0;

  function make(name, attributes, parent) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return parent.appendChild(node);
  }

  function isProbable(mark) {
    return mark.score === null || mark.score >= Number(input("least").value);
  }

  function isShown(mark) {
    return input(mark.kind).checked && isProbable(mark);
  }

  function drawRings() {
    rings.replaceChildren();
    // Text and rings keep their size on the screen.
    const unit = rings.viewBox.baseVal.width / (rings.clientWidth || 1);
    for (const mark of data.marks) {
      if (!isShown(mark) || line < mark.first || line > mark.last) continue;
      const group = make("g", { class: `ring ${mark.kind}`, "data-label": mark.label }, rings);
      const circle = { cx: mark.x, cy: mark.y, r: mark.radius };
      make("circle", { ...circle, class: "halo" }, group);
      make("circle", { ...circle, class: "line" }, group);
      // Findings have their text on the right, annotated nodules on the left.
      const side = mark.kind === "finding" ? 1 : -1;
      const away = mark.radius * 0.75 + 4 * unit;
      const place = {
        x: mark.x + side * away,
        y: mark.y - away,
        "font-size": 13 * unit,
        "stroke-width": 3 * unit,
        "text-anchor": side > 0 ? "start" : "end",
      };
      const score = mark.score === null ? "" : ` · ${mark.score.toFixed(2)}`;
      const size = mark.diameter === null ? "" : ` · ${mark.diameter.toFixed(1)} mm`;
      make("text", place, group).textContent = `${mark.label}${score}${size}`;
    }
    for (const dot of overview.querySelectorAll(".dots circle")) {
      dot.classList.toggle("hidden", !isShown(data.marks[Number(dot.dataset.mark)]));
    }
  }

  function go(to) {
    line = Math.min(Math.max(to, 0), last);
    const words = `Slice ${data.numbers[line]} of 0 to ${last}, z ${data.z_mm[line].toFixed(1).replace("-", "\u2212")} mm`;
    screen.setAttribute("aria-valuenow", line + 1);
    screen.setAttribute("aria-valuetext", words);
    screen.querySelector(".where").textContent = words;
    const y = ((line + 0.5) / (last + 1)) * overview.viewBox.baseVal.height;
    level.setAttribute("y1", y);
    level.setAttribute("y2", y);
    drawRings();
    for (const mark of data.marks) {
      const isHere = line >= mark.first && line <= mark.last && isShown(mark);
      rows.get(mark.label).classList.toggle("here", isHere);
    }
    // The old picture stays until the new one is ready, and a later wish wins.
    const ask = ++wanted;
    const next = new Image();
    next.src = `data:image/jpeg;base64,${data.slices[line]}`;
    next.decode().then(() => {
      if (ask === wanted) {
        image.src = next.src;
        screen.dataset.line = line;
      }
    });
  }

  function goToMark(mark) {
    for (const [label, row] of rows) {
      if (label === mark.label) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    go(mark.line);
  }

  function stepMark(step) {
    const shown = data.marks.filter(isShown);
    const now = shown.findIndex((m) => rows.get(m.label).hasAttribute("aria-current"));
    const next = now < 0 && step < 0 ? shown.length - 1 : now + step;
    if (shown[next]) {
      goToMark(shown[next]);
      rows.get(shown[next].label).scrollIntoView({ block: "nearest" });
    }
  }

  function filter() {
    const findings = data.marks.filter((mark) => mark.kind === "finding");
    for (const mark of findings) rows.get(mark.label).hidden = !isProbable(mark);
    const words = `${findings.filter(isProbable).length} of ${findings.length}`;
    for (const output of root.querySelectorAll(".count")) output.textContent = words;
    drawRings();
  }

  function nextWindow() {
    const all = [...root.querySelectorAll("input[name=window]")];
    all[(all.findIndex((one) => one.checked) + 1) % all.length].click();
  }

  function toggleRings() {
    const boxes = [input("finding"), input("annotated")].filter(Boolean);
    const on = !boxes.some((box) => box.checked);
    for (const box of boxes) box.checked = on;
    filter();
  }

  const keys = {
    ArrowUp: () => go(line - 1),
    ArrowDown: () => go(line + 1),
    PageUp: () => go(line - 10),
    PageDown: () => go(line + 10),
    Home: () => go(0),
    End: () => go(last),
    n: () => stepMark(1),
    p: () => stepMark(-1),
    w: nextWindow,
    r: toggleRings,
  };
  screen.addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  screen.addEventListener(
    "wheel",
    (event) => {
      // With Ctrl the browser zooms.
      if (event.ctrlKey) return;
      event.preventDefault();
      // A wheel's notch is one slice; a touchpad sends many small steps.
      turned += event.deltaMode === 0 ? event.deltaY / 100 : event.deltaY / 3;
      const steps = Math.trunc(turned);
      if (steps) {
        turned -= steps;
        go(line + steps);
      }
    },
    { passive: false },
  );
  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect();
    go(Math.floor(((event.clientY - box.top) / box.height) * (last + 1)));
  });
  for (const mark of data.marks) {
    rows.get(mark.label).addEventListener("click", () => goToMark(mark));
  }
  root.addEventListener("input", (event) => {
    if (event.target.name === "window") image.style.filter = `url(#window-${event.target.value})`;
    else filter();
  });
  window.addEventListener("resize", drawRings);

  data.marks.forEach((mark, number) => {
    const at = { cx: mark.x, cy: ((mark.line + 0.5) / (last + 1)) * overview.viewBox.baseVal.height };
    make("circle", { ...at, r: 8, class: mark.kind, "data-mark": number }, overview.querySelector(".dots"));
  });
  const checked = root.querySelector("input[name=window]:checked");
  image.style.filter = `url(#window-${checked.value})`;
  filter();
  if (data.marks.length) goToMark(data.marks.find(isShown) || data.marks[0]);
  else go(Math.floor(last / 2));
}

for (const root of document.querySelectorAll(".viewer")) {
  startViewer(root, JSON.parse(root.parentElement.querySelector(".scan-data").textContent));
}
