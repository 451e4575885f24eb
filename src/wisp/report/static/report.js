"use strict";
// Everything here adds to a page that can be read without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Wipe between before and after: the range input lies over the picture, so pointer, touch and
  // keyboard are the browser's own.
  for (const wipe of all(".wipe")) {
    const input = wipe.querySelector("input");
    const move = () => {
      const at = Number(input.value);
      wipe.style.setProperty("--at", `${at}%`);
      input.setAttribute("aria-valuetext", `${at} % before, ${100 - at} % after`);
      wipe.querySelector(".tag-before").style.opacity = at < 18 ? 0 : 1;
      wipe.querySelector(".tag-after").style.opacity = at > 82 ? 0 : 1;
    };
    input.addEventListener("input", move);
    move();
  }

  const show = (figure, name, on) => {
    const picture = figure.querySelector(`img.${name}`);
    const button = figure.querySelector(`[data-toggle="${name}"]`);
    if (!picture || !button) return;
    picture.hidden = !on;
    button.setAttribute("aria-pressed", String(on));
  };
  for (const button of all("[data-toggle]")) {
    button.addEventListener("click", () =>
      show(button.closest("figure"), button.dataset.toggle, button.getAttribute("aria-pressed") !== "true"));
  }
  for (const button of all("[data-toggle-all]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const figure of all("figure", button.closest("section"))) show(figure, button.dataset.toggleAll, on);
    });
  }

  // Tables: sort by any column; the long tail stays folded.
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    const first = Number(table.dataset.first);
    let folded = body.rows.length > first + 3;
    const fold = () => [...body.rows].forEach((row, i) => { row.hidden = folded && i >= first; });
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = column > 0;
        const now = head.getAttribute("aria-sort");
        const rising = now ? now === "descending" : !numeric;
        for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const value = (row) => row.cells[column].dataset.value;
        const order = (a, b) => numeric
          ? Number(value(a)) - Number(value(b))
          : value(a).localeCompare(value(b), undefined, { numeric: true });
        body.append(...[...body.rows].sort((a, b) => (rising ? order(a, b) : order(b, a))));
        fold();
      });
    });
    if (folded) {
      const more = document.createElement("p");
      more.className = "more";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      const name = () => { button.textContent = folded ? `Show all ${body.rows.length}` : `Show ${first}`; };
      button.addEventListener("click", () => { folded = !folded; fold(); name(); });
      name();
      more.append(button);
      table.closest(".scroll").after(more);
    }
    fold();
  }

  // The threshold, moved by hand: counts, histogram and working points follow.
  for (const explorer of all(".explorer")) {
    const { positive, negative, threshold } = JSON.parse(explorer.querySelector(".scores-data").textContent);
    const input = explorer.querySelector("input");
    const section = explorer.closest("section");
    const above = (scores, at) => scores.filter((score) => score >= at).length;
    const percent = (part, whole) => (whole ? `${Math.round((100 * part) / whole)} %` : "–");
    const between = (mark, share, low, high) =>
      Number(mark.dataset[low]) + share * (Number(mark.dataset[high]) - Number(mark.dataset[low]));
    const place = (chart, x, y) => {
      const mark = document.querySelector(`[data-chart="${chart}"] .working-point`);
      if (!mark) return;
      mark.setAttribute("cx", between(mark, x, "x0", "x1"));
      mark.setAttribute("cy", between(mark, y, "y0", "y1"));
      mark.replaceChildren();
    };
    const update = (at) => {
      const found = above(positive, at);
      const alarms = above(negative, at);
      const words = [];
      if (positive.length) words.push(`finds ${found} of ${positive.length} (${percent(found, positive.length)}), misses ${positive.length - found}`);
      if (negative.length) words.push(`raises ${alarms} false alarm${alarms === 1 ? "" : "s"} on ${negative.length} (${percent(alarms, negative.length)})`);
      explorer.querySelector(".explorer-words").textContent = `At ${at.toFixed(2)} it ${words.join(" and ")}.`;
      const cells = { pp: [found, positive.length], pn: [positive.length - found, positive.length], np: [alarms, negative.length], nn: [negative.length - alarms, negative.length] };
      for (const cell of all("[data-cell]", section)) {
        const [part, whole] = cells[cell.dataset.cell];
        cell.querySelector("b").textContent = part;
        cell.querySelector("small").textContent = percent(part, whole);
        cell.style.setProperty("--share", whole ? part / whole : 0);
      }
      const caption = section.querySelector('[data-out="at"]');
      if (caption) caption.textContent = `at threshold ${at.toFixed(2)}`;
      const mark = section.querySelector(".threshold-mark");
      if (mark) {
        mark.setAttribute("transform", `translate(${between(mark, at, "x0", "x1")} 0)`);
        const text = mark.querySelector("text");
        text.textContent = `threshold ${at.toFixed(2)}`;
        text.setAttribute("text-anchor", at > 0.75 ? "end" : at < 0.25 ? "start" : "middle");
      }
      if (positive.length && negative.length) place("roc", alarms / negative.length, found / positive.length);
      if (positive.length && found + alarms) place("precision-recall", found / positive.length, found / (found + alarms));
    };
    input.addEventListener("input", () => update(Number(input.value)));
    explorer.querySelector("[data-reset]").addEventListener("click", () => { input.value = threshold; update(threshold); });
    explorer.hidden = false;
    update(threshold);
  }

  // Samples over training steps.
  for (const film of all(".film")) {
    const control = film.querySelector(".film-control");
    if (!control) continue;
    const frames = all("img", film);
    const input = control.querySelector("input");
    input.addEventListener("input", () => {
      frames.forEach((frame, i) => { frame.hidden = i !== Number(input.value); });
      control.querySelector("output").textContent = frames[Number(input.value)].dataset.step;
      input.setAttribute("aria-valuetext", `step ${frames[Number(input.value)].dataset.step}`);
    });
    control.hidden = false;
  }

  // The contents show where one is.
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const marks = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const locate = () => {
    let here = marks[0];
    for (const mark of marks) if (mark.getBoundingClientRect().top < innerHeight * 0.3) here = mark;
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 4) here = marks[marks.length - 1];
    for (const [id, link] of links) {
      if (here && id === here.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", locate, { passive: true });
  locate();
})();
