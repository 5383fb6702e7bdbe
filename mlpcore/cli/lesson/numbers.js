// The data of the page, the state, and numbers by the name of their array.

const data = JSON.parse(document.getElementById('data').textContent);
const state = { epoch: 0, row: 0, step: 0 };
const find = (id) => document.getElementById(id);

function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// Float32 numbers, stored in little-endian order on every machine.
function floatsOf(text) {
  const view = new DataView(bytesOf(text).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

const ofRows = floatsOf(data.numbers.data); // [epoch][row][place]
const ofWeights = floatsOf(data.weights.data); // [epoch][place]

// The array of this name in an epoch and for a row: its shape, and its numbers row by row.
function arrayOf(name, epoch = state.epoch, row = state.row) {
  const own = data.numbers.slots[name];
  const [place, rows, columns] = own || data.weights.slots[name];
  const start = own
    ? (epoch * data.rows.length + row) * data.numbers.size + place
    : epoch * data.weights.size + place;
  const numbers = (own ? ofRows : ofWeights).subarray(start, start + rows * columns);
  return { rows, columns, numbers };
}

// Rows and columns of the whole array, of which a part is shown.
function wholeShape(name) {
  const layer = Number((name.match(/\d+$/) || [''])[0]);
  const letters = name.replace(/\d+$/, '');
  if (/^(d|new_)?W$/.test(letters)) return [data.widths[layer - 1], data.widths[layer]];
  if (letters === 'x') return [1, data.widths[0]];
  if (/^(L|new_L)$/.test(letters)) return [1, 1];
  return [1, layer ? data.widths[layer] : data.widths[data.widths.length - 1]];
}

// Four digits, a real minus sign; tiny numbers as 1.2e−5.
function said(value) {
  const size = Math.abs(value);
  let text;
  if (size !== 0 && (size < 0.001 || size >= 1e6)) text = value.toExponential(1);
  else text = value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4);
  return text.replace(/-/g, '−');
}

// As short as a circle needs it, always with a sign.
function shortly(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  const digits = size < 0.005 || size >= 1000 ? size.toExponential(0) : size.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return (value < 0 ? '−' : '+') + digits.replace('-', '−').replace('e+', 'e');
}

function make(name, attributes = {}, ...children) {
  const svg = ['svg', 'g', 'path', 'line', 'circle', 'text', 'polyline', 'title', 'rect'].includes(name);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// What the network says of a row: a label with its probability, or an amount.
function prediction(epoch, row) {
  const { numbers } = arrayOf('p', epoch, row);
  if (!data.labels.length) return said(numbers[0]);
  let best = 0;
  let share = numbers[0];
  if (data.labels.length === 2) {
    best = share > 0.5 ? 1 : 0;
    share = best ? share : 1 - share;
  } else {
    numbers.forEach((value, i) => {
      if (value > numbers[best]) best = i;
    });
    share = numbers[best];
    best = data.shown[data.shown.length - 1][best];
  }
  return `${data.labels[best]} (${Math.round(100 * share)} %)`;
}

function targetOf(row) {
  return data.labels.length ? data.labels[data.rows[row].class] : said(arrayOf('t', 0, row).numbers[0]);
}
