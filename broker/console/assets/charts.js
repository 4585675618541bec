// Small charts: bars over time, drawn as SVG. Each says in words what it shows.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 40;
const WIDTH = 6;

/**
 * Bars, one on another, of what is counted at each step.
 * @param {SVGSVGElement} svg
 * @param {{class: string, values: number[]}[]} layers from the bottom up
 * @param {string} label
 */
export function drawBars(svg, layers, label) {
  const steps = layers[0]?.values.length ?? 0;
  const sums = Array.from({ length: steps }, (_, i) => layers.reduce((sum, l) => sum + l.values[i], 0));
  const most = Math.max(1, ...sums);
  setAll(svg, { viewBox: `0 0 ${Math.max(1, steps) * WIDTH} ${HEIGHT}`, 'aria-label': label });
  const floor = new Array(steps).fill(HEIGHT);
  const bars = layers.flatMap((layer) => layer.values.flatMap((value, i) => {
    if (value <= 0) return [];
    const height = Math.max(1, (value / most) * (HEIGHT - 2));
    floor[i] -= height;
    return [element('rect', { x: i * WIDTH, y: floor[i], width: WIDTH - 1, height, class: layer.class })];
  }));
  svg.replaceChildren(element('line', { x1: 0, x2: Math.max(1, steps) * WIDTH, y1: HEIGHT, y2: HEIGHT, class: 'axis' }), ...bars);
}

/** An empty chart. */
export function chart() {
  return /** @type {SVGSVGElement} */ (element('svg', { role: 'img', class: 'chart', preserveAspectRatio: 'none' }));
}

/**
 * @param {string} name
 * @param {Record<string, string|number>} attributes
 */
function element(name, attributes) {
  const e = document.createElementNS(SVG, name);
  setAll(e, attributes);
  return e;
}

/**
 * @param {Element} e
 * @param {Record<string, string|number>} attributes of this module's own making
 */
function setAll(e, attributes) {
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, String(value));
}
