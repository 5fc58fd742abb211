// A picture with a grid over it: a click, or Enter, presses a cell; arrow keys move.
// It knows nothing of slices and codes: Python draws the picture and decides what a
// press does. See touch.py.

const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function element(kind, className, parent) {
  const made = document.createElement(kind);
  made.className = className;
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const frame = element("div", "vqlib-touch", el);
  const picture = element("img", "vqlib-touch-picture", frame);
  const cursor = element("div", "vqlib-touch-cursor", frame);
  const status = element("div", "vqlib-touch-status", el);
  picture.draggable = false;
  picture.alt = ""; // the frame has the name
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.title = "click, or move with the arrow keys and press Enter";
  status.setAttribute("aria-live", "polite");
  // or JupyterLab would take the keys: Enter edits its cell, arrows leave it
  frame.dataset.lmSuppressShortcuts = "true";

  let address = null;
  const draw = () => {
    const bytes = model.get("picture");
    if (!bytes || !bytes.byteLength) return;
    const old = address;
    address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    picture.src = address;
    if (old) URL.revokeObjectURL(old);
  };
  const describe = () => {
    frame.setAttribute("aria-label", model.get("label"));
    frame.style.width = `${model.get("width")}px`;
    frame.style.aspectRatio = `${model.get("aspect")}`;
    status.textContent = model.get("status");
  };
  const place = () => {
    const [columns, rows] = model.get("shape");
    const [column, row] = model.get("cursor");
    cursor.style.left = `${(100 * column) / columns}%`;
    cursor.style.top = `${(100 * row) / rows}%`;
    cursor.style.width = `${100 / columns}%`;
    cursor.style.height = `${100 / rows}%`;
    if (document.activeElement === frame) cursor.scrollIntoView({ block: "nearest" });
  };
  const moveTo = (cell) => {
    const shape = model.get("shape");
    const inside = cell.map((n, axis) => Math.max(0, Math.min(shape[axis] - 1, n)));
    model.set("cursor", inside);
    model.save_changes();
    return inside;
  };
  const press = (cell, first) => model.send({ press: moveTo(cell), first });

  const under = (event) => {
    const box = frame.getBoundingClientRect();
    const [columns, rows] = model.get("shape");
    return [
      Math.floor(((event.clientX - box.left) / box.width) * columns),
      Math.floor(((event.clientY - box.top) / box.height) * rows),
    ];
  };
  // the cells on the way, so that a quick stroke has no holes
  const path = (from, to) => {
    const steps = Math.max(...from.map((n, axis) => Math.abs(to[axis] - n)));
    return Array.from({ length: steps }, (_, k) =>
      from.map((n, axis) => Math.round(n + ((to[axis] - n) * (k + 1)) / steps))
    );
  };
  let last = null; // cell of the stroke that is being drawn
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    last = under(event);
    press(last, true);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    const cell = under(event);
    if (last === null || String(cell) === String(last)) return;
    for (const between of path(last, cell)) press(between, false);
    last = cell;
  });
  const lift = () => (last = null);
  frame.addEventListener("pointerup", lift);
  frame.addEventListener("pointercancel", lift);
  frame.addEventListener("keydown", (event) => {
    const at = model.get("cursor");
    if (event.key in STEPS) {
      moveTo(STEPS[event.key].map((step, axis) => at[axis] + step));
    } else if (event.key === "Enter" || event.key === " ") {
      press(at, true);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });

  model.on("change:picture", draw);
  model.on("change:cursor change:shape", place);
  model.on("change:label change:status change:aspect change:width", describe);
  describe();
  place();
  draw();
  return () => address && URL.revokeObjectURL(address);
}

export default { render };
