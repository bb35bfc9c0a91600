// Mouse, pen and fingers on the film.

const WHEEL = 0.0015; // of a doubling, a pixel of the wheel
const PINCH = 6; // times that; touchpads send a pinch as a small turn with ctrl

/** One pointer moves the window or the film, or draws a ruler, as `tool()` says; two pinch; the wheel zooms; a double
 * click fits. */
export function listen(viewer, tool) {
  const { canvas } = viewer;
  const pointers = new Map();
  const middle = ({ x, y }) => {
    const box = canvas.getBoundingClientRect();
    return [x - box.left - box.width / 2, y - box.top - box.height / 2];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const place = { x: event.clientX, y: event.clientY };
    pointers.set(event.pointerId, place);
    if (tool() === "ruler" && !moves(event)) viewer.measure(true, ...middle(place));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = { x: event.clientX, y: event.clientY };
    const rest = [...pointers.keys()].find((id) => id !== event.pointerId);
    pointers.set(event.pointerId, now);
    if (rest !== undefined) pinch(viewer, pointers.get(rest), last, now, middle);
    else if (tool() === "ruler" && !moves(event)) viewer.measure(false, ...middle(now));
    else drag(viewer, event, now.x - last.x, now.y - last.y, tool());
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const turn = -event.deltaY * WHEEL * (event.ctrlKey ? PINCH : 1);
    viewer.zoomBy(2 ** turn, ...middle({ x: event.clientX, y: event.clientY }));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => viewer.fit());
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}

/** Whether a drag moves the film whatever the tool. */
const moves = (event) => event.buttons & 6 || event.shiftKey;

function drag(viewer, event, dx, dy, tool) {
  if (moves(event) || tool === "pan") return viewer.pan(dx, dy);
  const { clientWidth, clientHeight } = viewer.canvas;
  // As viewers of films do: down is darker, right is softer.
  return viewer.adjust(dy / clientHeight, dx / clientWidth);
}

/** One finger rests, the other went from `last` to `now`. */
function pinch(viewer, rest, last, now, middle) {
  const apart = (point) => Math.hypot(point.x - rest.x, point.y - rest.y);
  viewer.pan((now.x - last.x) / 2, (now.y - last.y) / 2);
  const between = middle({ x: (rest.x + now.x) / 2, y: (rest.y + now.y) / 2 });
  if (apart(last) > 0) viewer.zoomBy(apart(now) / apart(last), ...between);
}
