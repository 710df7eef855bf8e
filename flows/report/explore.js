for (const chart of document.querySelectorAll("svg[data-plot]")) {
  const plot = JSON.parse(chart.dataset.plot), tools = chart.parentElement.querySelector(".tools"), out = tools.querySelector("output");
  const marks = [...chart.querySelectorAll(".plot path, .plot circle")].map((mark) => [mark, mark.getAttribute("d"), mark.getAttribute("cx")]);
  const ticks = [...chart.querySelectorAll(".x-tick")].map((tick) => [tick, tick.textContent, Number(tick.getAttribute("x"))]);
  const all = plot.high - plot.low, wide = plot.right - plot.left;
  let low = plot.low, high = plot.high, at = null, pressed = null;
  const toUnits = (step) => plot.left + wide * (step - low) / (high - low), toStep = (units) => low + (high - low) * (units - plot.left) / wide;
  const moved = (units) => high - low === all ? units : toUnits(plot.low + all * (Number(units) - plot.left) / wide).toFixed(1);
  const cursor = chart.appendChild(document.createElementNS(chart.namespaceURI, "path"));
  cursor.setAttribute("class", "cursor");
  const shown = () => plot.series.filter((series) => !away.has(series.of));
  const nearest = (steps, step) => steps.reduce((best, one, n) => Math.abs(one - step) < Math.abs(steps[best] - step) ? n : best, 0);
  const draw = () => { // what is under the cursor, or what is being marked
    const between = pressed === null ? "" : `M${toUnits(pressed)} ${plot.top}H${toUnits(at)}V${plot.bottom}H${toUnits(pressed)}Z`;
    const inside = at !== null && at >= low && at <= high;
    cursor.setAttribute("d", between || (inside ? `M${toUnits(at)} ${plot.top}V${plot.bottom}` : ""));
    const told = shown().map((series) => `${series.name} ${series.values[nearest(series.steps, at)].toPrecision(4)}`);
    out.textContent = inside ? `${tools.dataset.step} ${Math.round(at).toLocaleString("en")}: ${told.join(", ")}` : "";
  };
  const look = (from, to) => {
    const width = Math.min(Math.max(to - from, all / 100), all);
    low = Math.min(Math.max(from, plot.low), plot.high - width);
    high = low + width;
    for (const [mark, d, cx] of marks) {
      if (d) mark.setAttribute("d", d.replace(/([ML])(-?[\d.]+)/g, (_, letter, units) => letter + moved(units)));
      else mark.setAttribute("cx", moved(cx));
    }
    for (const [tick, text, units] of ticks) tick.textContent = width < all ? Math.round(toStep(units)).toLocaleString("en") : text;
    draw();
  };
  const steps = () => [...new Set(shown().flatMap((series) => series.steps))].sort((a, b) => a - b);
  const to = (step) => { const there = steps(); at = there.length ? there[nearest(there, step)] : null; draw(); };
  const go = (by) => {
    const there = steps();
    at = at === null ? there[by > 0 ? 0 : there.length - 1] : there[Math.min(Math.max(nearest(there, at) + by, 0), there.length - 1)];
    if (at < low || at > high) look(at - (high - low) / 2, at + (high - low) / 2);
    draw();
  };
  const doing = {
    in: () => { const middle = at ?? (low + high) / 2, width = (high - low) / 2; look(middle - width / 2, middle + width / 2); },
    out: () => look(low - (high - low) / 2, high + (high - low) / 2),
    left: () => look(low - (high - low) / 4, high - (high - low) / 4),
    right: () => look(low + (high - low) / 4, high + (high - low) / 4),
    all: () => look(plot.low, plot.high),
  };
  const keys = { ArrowLeft: () => go(-1), ArrowRight: () => go(1), Home: () => to(plot.low), End: () => to(plot.high), "+": doing.in, "-": doing.out, Escape: doing.all };
  const under = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(Math.max(toStep((event.clientX - box.left) / box.width * chart.viewBox.baseVal.width), low), high);
  };
  tools.hidden = false;
  chart.tabIndex = 0;
  for (const button of tools.querySelectorAll("button")) button.addEventListener("click", doing[button.dataset.do]);
  chart.addEventListener("keydown", (event) => { if (keys[event.key]) { keys[event.key](); event.preventDefault(); } });
  chart.addEventListener("pointerdown", (event) => { pressed = under(event); chart.setPointerCapture(event.pointerId); });
  chart.addEventListener("pointermove", (event) => { if (pressed === null) to(under(event)); else { at = under(event); draw(); } });
  chart.addEventListener("pointerup", (event) => {
    const [from, until] = [pressed, under(event)].sort((a, b) => a - b);
    pressed = null;
    if (from !== null && until - from > (high - low) / 40) look(from, until); else to(under(event));
  });
  chart.addEventListener("pointercancel", () => { pressed = null; draw(); });
  chart.addEventListener("pointerleave", () => { if (pressed === null) { at = null; draw(); } });
}
