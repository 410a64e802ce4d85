// Where something stands that floats: beside the button that opened it, and within the page.

/** How far it stays from the button, and from the page's edges, in pixels. */
const GAP = 4;
const EDGE = 8;

export function standBeside(button: HTMLElement, floating: HTMLElement, side: "below" | "above", align: "start" | "end"): void {
  const at = button.getBoundingClientRect();
  const own = floating.getBoundingClientRect();
  const isEnd = (align === "end") === (getComputedStyle(button).direction === "ltr");
  const left = isEnd ? at.right - own.width : at.left;
  const top = side === "below" ? at.bottom + GAP : at.top - own.height - GAP;
  floating.style.setProperty("left", `${Math.max(EDGE, Math.min(left, innerWidth - own.width - EDGE))}px`);
  floating.style.setProperty("top", `${Math.max(EDGE, Math.min(top, innerHeight - own.height - EDGE))}px`);
}
