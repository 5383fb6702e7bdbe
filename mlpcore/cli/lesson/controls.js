// The controls: sliders, buttons, and what a change of the state redraws.

const LIMITS = { epoch: data.epochs.length, row: data.rows.length, step: data.steps.length };
let playing = null;

function show(change) {
  for (const [name, value] of Object.entries(change)) state[name] = Math.max(0, Math.min(LIMITS[name] - 1, value));
  const step = data.steps[state.step];
  const texts = {
    epoch: `${data.epochs[state.epoch]} of ${data.epochs[data.epochs.length - 1]}`,
    row: `${data.rows[state.row].number + 1}: ${targetOf(state.row)}`,
    step: `${state.step + 1} of ${data.steps.length}: ${step.title}`,
  };
  for (const [name, text] of Object.entries(texts)) {
    find(name).value = state[name];
    find(name).setAttribute('aria-valuetext', text);
    find(`${name}-text`).textContent = text;
  }
  find('back').disabled = state.step === 0;
  find('next').disabled = state.step === LIMITS.step - 1;
  find('status').textContent = `Epoch ${data.epochs[state.epoch]}: ${measured()}. The network says of row `
    + `${data.rows[state.row].number + 1}: ${prediction(state.epoch, state.row)}; target: ${targetOf(state.row)}, `
    + `loss ${said(arrayOf('L').numbers[0])}.`;
  drawNetwork();
  drawCurve();
  if (plane) drawPlane();
  else fillTable();
  fillPanels();
}

function stop() {
  clearInterval(playing);
  playing = null;
  find('play').setAttribute('aria-pressed', 'false');
  find('play').textContent = 'Play epochs';
  find('status').setAttribute('aria-live', 'polite');
}

function play() {
  if (playing !== null) {
    stop();
    return;
  }
  find('play').setAttribute('aria-pressed', 'true');
  find('play').textContent = 'Stop';
  find('status').setAttribute('aria-live', 'off'); // it would be read out at every epoch
  if (state.epoch === LIMITS.epoch - 1) show({ epoch: 0 });
  // Slower for those who asked their system for less motion.
  const pause = matchMedia('(prefers-reduced-motion: reduce)').matches ? 1000 : 200;
  playing = setInterval(() => {
    show({ epoch: state.epoch + 1 });
    if (state.epoch === LIMITS.epoch - 1) stop();
  }, pause);
}

// A button that becomes disabled would drop the focus to the page.
function move(by, other) {
  show({ step: state.step + by });
  if (document.activeElement === document.body || document.activeElement.disabled) find(other).focus();
}

find('row').max = LIMITS.row - 1;
for (const name of Object.keys(LIMITS)) {
  find(name).addEventListener('input', (event) => {
    if (name === 'epoch' && playing !== null) stop();
    show({ [name]: Number(event.target.value) });
  });
}
find('back').addEventListener('click', () => move(-1, 'next'));
find('next').addEventListener('click', () => move(1, 'back'));
find('play').addEventListener('click', play);
if (plane) preparePlane();
else prepareTable();
prepareCurve();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => show({}));
addEventListener('resize', () => fillPanels());
show({ epoch: 0, row: 0, step: 0 });
