// The loss curve, with the chosen epoch.

const BOX = { width: 460, height: 240, left: 48, right: 12, top: 26, bottom: 36 };

// Round numbers from 0 to at least the largest, about four of them.
function ticks(largest) {
  const rough = (largest || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  return Array.from({ length: Math.ceil(largest / gap - 1e-9) + 1 }, (_, i) => i * gap);
}

function scales() {
  const values = ['loss', 'val_loss'].flatMap((name) => data.measures[name] || []);
  const loss = ticks(Math.max(...values));
  const last = data.epochs[data.epochs.length - 1];
  const { left, right, top, bottom, width, height } = BOX;
  return {
    loss,
    epochs: ticks(last).filter((epoch) => Number.isInteger(epoch) && epoch <= last),
    x: (epoch) => left + ((width - left - right) * epoch) / (last || 1),
    y: (value) => height - bottom - ((height - top - bottom) * value) / (loss[loss.length - 1] || 1),
  };
}

function drawCurve() {
  const picture = find('curve-picture');
  const { loss, epochs, x, y } = scales();
  const { width, height, left, right, top, bottom } = BOX;
  const parts = [];
  const text = (words, attributes) => parts.push(make('text', attributes, words));
  loss.forEach((value) => {
    parts.push(make('line', { x1: left, x2: width - right, y1: y(value), y2: y(value), class: 'grid' }));
    text(String(Number(value.toPrecision(3))), { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' });
  });
  epochs.forEach((epoch) => text(String(epoch), { x: x(epoch), y: height - bottom + 18, 'text-anchor': 'middle' }));
  text('epoch', { x: width - right, y: height - 3, 'text-anchor': 'end', class: 'name' });
  text('loss (mean per row)', { x: 4, y: 14, class: 'name' });
  const now = x(data.epochs[state.epoch]);
  parts.push(make('line', { x1: now, x2: now, y1: top, y2: height - bottom, class: 'now' }));
  [['loss', 'training', 'first'], ['val_loss', 'validation', 'second']].forEach(([name, label, kind], i) => {
    if (!data.measures[name]) return;
    const points = data.measures[name].map((value, k) => `${x(data.epochs[k]).toFixed(1)},${y(value).toFixed(1)}`);
    parts.push(make('polyline', { points: points.join(' '), class: `curve ${kind}` }));
    const [cx, cy] = points[state.epoch].split(',');
    parts.push(make('circle', { cx, cy, r: 4.5, class: `spot ${kind}` }));
    const start = width - right - 190 + 100 * i;
    parts.push(make('line', { x1: start, x2: start + 24, y1: 10, y2: 10, class: `curve ${kind}` }));
    text(label, { x: start + 29, y: 14 });
  });
  picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
  picture.replaceChildren(...parts);
  picture.setAttribute('aria-label', `The loss over ${data.epochs[data.epochs.length - 1]} epochs; ${measured()}`);
}

// The chosen epoch in words.
function measured() {
  const value = (name) => data.measures[name] && data.measures[name][state.epoch];
  const parts = [`training loss ${said(value('loss'))}`];
  if (value('val_loss') !== undefined) parts.push(`validation loss ${said(value('val_loss'))}`);
  if (value('accuracy') !== undefined) parts.push(`${(100 * value('accuracy')).toFixed(0)} % of the training rows right`);
  if (value('val_accuracy') !== undefined) parts.push(`${(100 * value('val_accuracy')).toFixed(0)} % of the validation rows`);
  return parts.join(', ');
}

function prepareCurve() {
  find('curve-picture').addEventListener('click', (event) => {
    const box = find('curve-picture').getBoundingClientRect();
    const { x } = scales();
    const far = data.epochs.map((epoch) => Math.abs(x(epoch) - ((event.clientX - box.left) * BOX.width) / box.width));
    show({ epoch: far.indexOf(Math.min(...far)) });
  });
}
