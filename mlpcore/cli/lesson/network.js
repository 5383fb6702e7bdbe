// The drawing of the network: circles are neurons, lines are weights; backward both show gradients.

const RADIUS = 22;
const ACROSS = 104;
const DOWN = 50;

// The places of the circles of every column, all columns centred; a column that is cut ends with dots.
function places() {
  const most = Math.max(...data.shown.map((units, k) => units.length + (units.length < data.widths[k])));
  const height = most * DOWN + 16;
  const columns = data.shown.map((units, k) => {
    const cut = units.length < data.widths[k];
    const top = (height - (units.length + cut - 1) * DOWN) / 2;
    return { x: 100 + k * ACROSS, ys: units.map((_, i) => top + i * DOWN), dots: cut ? top + units.length * DOWN : null };
  });
  return { columns, height, width: 100 + (data.widths.length - 1) * ACROSS + 100 };
}

// Colour and dashes by sign, thickness by size among all lines of the drawing.
function edge(from, to, value, largest, faint) {
  const size = largest > 0 ? Math.abs(value) / largest : 0;
  const line = make('line', {
    x1: from.x + RADIUS, y1: from.y, x2: to.x - RADIUS, y2: to.y,
    class: faint ? 'edge faint' : `edge ${value < 0 ? 'less' : 'more'}`,
    'stroke-width': faint ? 0.8 : (0.6 + 5 * size).toFixed(2),
    opacity: faint ? 0.35 : (0.3 + 0.7 * size).toFixed(2),
  });
  if (!faint) line.append(make('title', {}, said(value)));
  return line;
}

function neuron(x, y, value, largest, active) {
  const size = value === null || !(largest > 0) ? 0 : Math.abs(value) / largest;
  const circle = make('circle', {
    cx: x, cy: y, r: RADIUS,
    class: `neuron ${value === null ? 'empty' : value < 0 ? 'less' : 'more'}${active ? ' active' : ''}`,
    'fill-opacity': (0.08 + 0.42 * size).toFixed(2),
  });
  const parts = [make('circle', { cx: x, cy: y, r: RADIUS, class: 'behind' }), circle];
  if (value !== null) {
    const words = shortly(value);
    const kind = words.includes('e') ? 'small' : '';
    parts.push(make('text', { x, y: y + 4, 'text-anchor': 'middle', class: kind }, words));
  }
  return parts;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function drawNetwork() {
  const picture = find('network-picture');
  const step = data.steps[state.step];
  const { columns, height, width } = places();
  picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
  picture.style.minWidth = `${0.7 * width}px`; // a deep network scrolls
  const lines = make('g', {});
  const circles = make('g', {});
  const shownEdges = step.edges.map((name) => (name ? arrayOf(name) : null));
  const largest = Math.max(0, ...shownEdges.filter(Boolean).flatMap((one) => [...one.numbers].map(Math.abs)));
  for (let k = 1; k < columns.length; k += 1) {
    const shown = shownEdges[k - 1];
    columns[k - 1].ys.forEach((above, i) => {
      columns[k].ys.forEach((below, j) => {
        const value = shown ? shown.numbers[i * columns[k].ys.length + j] : 0;
        lines.append(edge({ x: columns[k - 1].x, y: above }, { x: columns[k].x, y: below }, value, largest, !shown));
      });
    });
  }
  columns.forEach((column, k) => {
    const name = step.nodes[k];
    const numbers = name ? [...arrayOf(name).numbers] : null;
    const most = numbers ? Math.max(...numbers.map(Math.abs)) : 0;
    const active = k === step.active;
    column.ys.forEach((y, i) => circles.append(...neuron(column.x, y, numbers ? numbers[i] : null, most, active)));
    if (column.dots !== null) circles.append(make('text', { x: column.x, y: column.dots, 'text-anchor': 'middle' }, '⋯'));
  });
  const last = columns[columns.length - 1];
  columns[0].ys.forEach((y, i) => circles.append(
    make('text', { x: columns[0].x - RADIUS - 6, y: y + 4, 'text-anchor': 'end', class: 'name' }, short(data.inputs[i], 11)),
  ));
  last.ys.forEach((y, i) => circles.append(
    make('text', { x: last.x + RADIUS + 6, y: y + 4, class: 'name' }, short(data.outputs[i], 11)),
  ));
  picture.replaceChildren(lines, circles);
  picture.setAttribute('aria-label', `The network of ${data.widths.join(', ')} neurons, ${step.title}`);
  document.querySelector('[data-dots]').hidden = columns.every((column) => column.dots === null);
}
