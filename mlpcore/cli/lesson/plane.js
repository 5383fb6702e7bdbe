// The plane of two columns: the map of predictions with its border, and the rows; or a table of the rows.

const SIZE = 400;
const CELL = 10; // pixels of the map, an even number, so that squares meet without seams
const CLASSES = ['--first', '--second', '--third', '--fourth'];
const plane = data.plane && {
  ...data.plane,
  maps: bytesOf(data.plane.maps),
  points: floatsOf(data.plane.points),
  others: floatsOf(data.plane.others),
};

const across = (value) => (SIZE * (value - plane.low[0])) / (plane.high[0] - plane.low[0]);
const up = (value) => SIZE - (SIZE * (value - plane.low[1])) / (plane.high[1] - plane.low[1]);
const pointOf = (row) => [across(plane.points[2 * row]), up(plane.points[2 * row + 1])];

// A circle, square, triangle or diamond, so that classes differ without colours too.
function sign(x, y, kind, r, attributes) {
  const paths = [
    `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
    `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
    `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
  ];
  return make('path', { d: paths[kind % 4], ...attributes });
}

function drawMap() {
  const canvas = find('map');
  const pen = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const side = (plane.grid - 1) * CELL;
  [canvas.width, canvas.height] = [side, side]; // which clears it
  for (let i = 0; i < plane.grid; i += 1) {
    for (let j = 0; j < plane.grid; j += 1) {
      const value = plane.maps[(state.epoch * plane.grid + i) * plane.grid + j];
      let kind = value >= 128 ? 1 : 0;
      let strength = Math.abs(value - 127.5) / 127.5;
      if (plane.kind === 'many') [kind, strength] = [value >> 4, (value & 15) / 15];
      if (plane.kind === 'none') strength = 0;
      pen.globalAlpha = 0.55 * strength;
      pen.fillStyle = style.getPropertyValue(CLASSES[kind % 4]).trim();
      // A square around its point; half of those at the edges lies outside.
      pen.fillRect((j - 0.5) * CELL, side - (i + 0.5) * CELL, CELL, CELL);
    }
  }
}

// Where the probability is one half: in every triangle of the grid the line between its two crossed sides.
function borderPath() {
  const { grid } = plane;
  const start = state.epoch * grid * grid;
  const at = (i, j) => ({
    x: (SIZE * j) / (grid - 1), y: SIZE - (SIZE * i) / (grid - 1), v: plane.maps[start + i * grid + j] - 127.5,
  });
  const crossed = (a, b) => {
    const share = a.v / (a.v - b.v);
    return `${(a.x + share * (b.x - a.x)).toFixed(1)},${(a.y + share * (b.y - a.y)).toFixed(1)}`;
  };
  let path = '';
  for (let i = 0; i + 1 < grid; i += 1) {
    for (let j = 0; j + 1 < grid; j += 1) {
      const corners = [at(i, j), at(i, j + 1), at(i + 1, j), at(i + 1, j + 1)];
      for (const [a, b, c] of [[0, 1, 2], [3, 1, 2]]) {
        const sides = [[a, b], [b, c], [a, c]].filter(([p, q]) => corners[p].v * corners[q].v < 0);
        if (sides.length === 2) path += `M${crossed(...sides[0].map((s) => corners[s]))}L${crossed(...sides[1].map((s) => corners[s]))}`;
      }
    }
  }
  return path;
}

function drawPlane() {
  drawMap();
  const picture = find('plane-picture');
  const parts = [];
  if (plane.kind === 'two') parts.push(make('path', { d: borderPath(), class: 'border' }));
  for (let i = 0; 2 * i < plane.others.length; i += 1) {
    const kind = plane.other_classes[i] || 0;
    parts.push(sign(across(plane.others[2 * i]), up(plane.others[2 * i + 1]), kind, 3, { class: `dot class${kind % 4} faint` }));
  }
  data.rows.forEach((row, i) => {
    const [x, y] = pointOf(i);
    const kind = plane.classes[i] || 0;
    const point = sign(x, y, kind, 6, { class: `dot class${kind % 4} choice`, 'data-row': i });
    point.append(make('title', {}, `row ${row.number + 1}: ${targetOf(i)}`));
    parts.push(point);
  });
  const [x, y] = pointOf(state.row);
  parts.push(make('circle', { cx: x, cy: y, r: 12, class: 'chosen' }));
  picture.replaceChildren(...parts);
}

// The nearest row in the direction of an arrow key; what lies to the side counts double.
function neighbour(key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const [x, y] = pointOf(state.row);
  let best = state.row;
  let least = Infinity;
  data.rows.forEach((_, i) => {
    const [u, v] = pointOf(i);
    const ahead = (u - x) * dx + (v - y) * dy;
    const aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    if (i !== state.row && ahead > 0 && ahead + 2 * aside < least) [best, least] = [i, ahead + 2 * aside];
  });
  return best;
}

function preparePlane() {
  const picture = find('plane-picture');
  picture.addEventListener('click', (event) => {
    const box = picture.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * SIZE) / box.width, ((event.clientY - box.top) * SIZE) / box.height];
    const far = data.rows.map((_, i) => Math.hypot(pointOf(i)[0] - x, pointOf(i)[1] - y));
    show({ row: far.indexOf(Math.min(...far)) });
  });
  picture.addEventListener('keydown', (event) => {
    if (!event.key.startsWith('Arrow') || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    show({ row: neighbour(event.key) });
  });
  data.labels.forEach((label, kind) => {
    const mark = make('svg', { viewBox: '0 0 16 16', class: 'mark', 'aria-hidden': 'true' });
    mark.append(sign(8, 8, kind, 5, { class: `dot class${kind % 4}` }));
    find('legend').append(make('span', {}, mark, ` ${label}`), ' ');
  });
}

// The table: radio buttons, between which the arrow keys move by themselves.
function prepareTable() {
  data.rows.forEach((row, i) => {
    const choice = make('input', { type: 'radio', name: 'rows', id: `row-${i}`, value: i });
    choice.addEventListener('change', () => show({ row: i }));
    const label = make('label', { for: `row-${i}` }, choice, ` ${row.number + 1}`);
    const cells = [targetOf(i), '', ''].map((text) => make('td', {}, text));
    find('rows').tBodies[0].append(make('tr', {}, make('th', { scope: 'row' }, label), ...cells));
  });
}

function fillTable() {
  [...find('rows').tBodies[0].rows].forEach((line, i) => {
    line.cells[2].textContent = prediction(state.epoch, i);
    line.cells[3].textContent = said(arrayOf('L', state.epoch, i).numbers[0]);
    line.querySelector('input').checked = i === state.row;
    line.classList.toggle('current', i === state.row);
  });
  if (data.images) drawImage();
}

const images = data.images && floatsOf(data.images.data);

function drawImage() {
  const [height, width] = data.images.shape;
  const canvas = find('image');
  [canvas.width, canvas.height] = [width * 16, height * 16];
  const pen = canvas.getContext('2d');
  for (let i = 0; i < height * width; i += 1) {
    const grey = Math.round(255 * (1 - images[state.row * height * width + i]));
    pen.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
    pen.fillRect((i % width) * 16, Math.floor(i / width) * 16, 16, 16);
  }
  canvas.setAttribute('aria-label', `The chosen row as a picture: ${targetOf(state.row)}`);
}
