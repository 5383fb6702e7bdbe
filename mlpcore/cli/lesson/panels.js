// The panels of the steps: tables for arrays, and single numbers.

function tableOf(name) {
  const { rows, columns, numbers } = arrayOf(name);
  const [wholeRows, wholeColumns] = wholeShape(name);
  const largest = Math.max(...[...numbers].map(Math.abs));
  const body = make('tbody');
  for (let i = 0; i < rows; i += 1) {
    const line = make('tr');
    for (let j = 0; j < columns; j += 1) {
      const value = numbers[i * columns + j];
      const cell = make('td', { class: value < 0 ? 'less' : 'more', 'data-value': String(value) }, said(value));
      cell.style.setProperty('--share', `${(largest > 0 ? (40 * Math.abs(value)) / largest : 0).toFixed(0)}%`);
      line.append(cell);
    }
    if (columns < wholeColumns) line.append(make('td', { class: 'dots' }, '⋯'));
    body.append(line);
  }
  if (rows < wholeRows) {
    const line = make('tr');
    for (let j = 0; j < columns + (columns < wholeColumns); j += 1) line.append(make('td', { class: 'dots' }, '⋮'));
    body.append(line);
  }
  const label = `${wholeRows} ${wholeRows === 1 ? 'row' : 'rows'}, ${wholeColumns} ${wholeColumns === 1 ? 'column' : 'columns'}`;
  return make('table', { 'aria-label': label }, body);
}

function fillPanels() {
  const step = data.steps[state.step];
  document.querySelectorAll('.panel').forEach((panel, i) => {
    panel.hidden = i !== step.panel;
    if (panel.hidden) return;
    panel.querySelectorAll('.side').forEach((side) => {
      const now = side.classList.contains(step.direction);
      side.classList.toggle('now', now);
      const head = side.querySelector('h4');
      if (head) head.dataset.now = now ? '● this step' : '';
    });
    panel.querySelectorAll('[data-array]').forEach((figure) => {
      const [rows, columns] = wholeShape(figure.dataset.array);
      figure.querySelector('span').textContent = `${rows} × ${columns}`;
      const box = figure.querySelector('.scroll');
      box.replaceChildren(tableOf(figure.dataset.array));
      // Only what scrolls is a stop of the Tab key.
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute('tabindex');
    });
    panel.querySelectorAll('[data-number]').forEach((place) => {
      const value = arrayOf(place.dataset.number).numbers[place.dataset.entry || 0];
      place.textContent = place.dataset.whole ? String(value) : said(value);
      place.dataset.value = String(value);
    });
  });
}
