// The board: runs overlaid in charts. Live, it asks its server what is new; frozen, all of it is in the page.
'use strict';

const pollEvery = 2000;  // milliseconds
const colours = 8;
const byId = id => document.getElementById(id);

let runs = [];             // as the server tells of them
let histograms = [];       // of each run: {version, lines}
const hidden = new Set();  // names of runs that are switched off
let zoomed = null;         // [first, last] step that is shown, or all of them
const shownSteps = {};     // which sample of a run and kind is shown; missing: the newest

const colourOf = index => `run-${index % colours}`;
const visible = () => runs.map((run, index) => ({run, index})).filter(({run}) => !hidden.has(run.name));

const titles = {
  loss: 'Loss', lr: 'Learning rate', grad_norm: 'Gradient norm', tokens_per_s: 'Tokens per second', images_per_s: 'Images per second',
  memory_mib: 'Memory of tensors, MiB', loss_scale: 'Scale of the loss',
};
const last = ['lr', 'grad_norm', 'tokens_per_s', 'images_per_s', 'loss_scale', 'memory_mib'];  // in this order, after all measures
const parts = {train: 'training', val: 'validation', test: 'test'};

// train_accuracy → [accuracy, train]; lr → [lr, null].
function measureOf(name) {
  const found = /^(train|val|test)_(.+)$/.exec(name);
  return found ? [found[2], found[1]] : [name, null];
}

function titleOf(measure) {
  if (titles[measure]) return titles[measure];
  const words = measure.replace(/_per_s$/, ' per second').replaceAll('_', ' ');
  return words[0].toUpperCase() + words.slice(1);
}

// The running mean of values, equal weights at first, so that it does not begin at zero.
function smooth(points, weight) {
  let sum = 0, total = 0;
  return points.map(([x, y]) => {
    if (Number.isFinite(y)) [sum, total] = [sum * weight + y * (1 - weight), total * weight + (1 - weight)];
    return [x, total > 0 ? sum / total : NaN];
  });
}

function measures() {
  const found = new Set();
  for (const {run} of visible()) for (const name of Object.keys(run.curves)) found.add(measureOf(name)[0]);
  const place = m => (m === 'loss' ? -1 : last.indexOf(m) < 0 ? 0 : 1 + last.indexOf(m));
  return [...found].sort((a, b) => place(a) - place(b));
}

// What a measure's chart shows: training, or a number of every step, as a line with its running mean; what is measured now and then with dots.
function seriesOf(measure, weight) {
  const series = [];
  for (const {run, index} of visible()) {
    for (const [name, curve] of Object.entries(run.curves)) {
      const [of, part] = measureOf(name);
      if (of !== measure) continue;
      const points = curve.step.map((step, i) => [step, curve.value[i] === null ? NaN : curve.value[i]]);
      const label = (visible().length > 1 ? run.name + ' ' : '') + (part ? parts[part] : '');
      const entry = {name: label || titleOf(measure), colour: colourOf(index), part};
      if (part === 'val' || part === 'test') series.push({...entry, style: 'dashed', points});
      else if (weight === 0 || measure === 'lr') series.push({...entry, style: 'curve', points});
      else series.push({...entry, style: 'raw', points}, {...entry, style: 'curve', points: smooth(points, weight)});
    }
  }
  return series;
}

function stepRange(logarithmic) {
  if (zoomed) return zoomed;
  let low = Infinity, high = -Infinity;
  for (const {run} of visible())
    for (const {step} of Object.values(run.curves)) [low, high] = [Math.min(low, step[0]), Math.max(high, step[step.length - 1])];
  if (low > high) return [logarithmic ? 1 : 0, 10];
  if (logarithmic) low = Math.max(low, 1);
  return low === high ? [low / 2, high * 1.5] : [low, high];
}

function keyOf(series) {
  const styles = {train: '— training', val: '- ○ - validation', test: '○ test'};
  return make('div', {class: 'key'}, ...['train', 'val', 'test'].filter(p => series.some(s => s.part === p)).map(p => make('span', {}, styles[p])));
}

function showCharts() {
  const weight = Number(byId('smoothing').value), logX = byId('log-step').checked, all = measures();
  byId('smoothed').textContent = weight.toFixed(2);
  byId('whole').hidden = zoomed === null;
  byId('controls').hidden = all.length === 0;
  const cards = new Map([...byId('charts').children].map(card => [card.dataset.measure, card]));
  const wanted = all.map(measure => cards.get(measure) ?? make('figure', {class: measure === 'loss' ? 'card first' : 'card', 'data-measure': measure}));
  if (wanted.length !== cards.size || wanted.some((card, i) => byId('charts').children[i] !== card)) byId('charts').replaceChildren(...wanted);
  for (const card of wanted) {
    if (card.querySelector('.tip:not([hidden])')) continue;  // somebody reads it
    const measure = card.dataset.measure, series = seriesOf(measure, weight);
    const chart = {
      title: titleOf(measure), series, range: stepRange(logX), logX, logY: measure === 'loss' && byId('log-loss').checked,
      fromZero: /_per_s$|^memory/.test(measure), height: measure === 'loss' ? 300 : 210,
    };
    card.replaceChildren(make('h3', {}, chart.title), keyOf(series));
    card.append(drawChart(card, chart, range => {
      zoomed = range;
      showCharts();
    }));
  }
}

function showRuns() {
  byId('runs').replaceChildren(...runs.map((run, index) => {
    const box = make('input', {type: 'checkbox'});
    box.checked = !hidden.has(run.name);
    box.addEventListener('change', () => {
      if (box.checked) hidden.delete(run.name);
      else hidden.add(run.name);
      show();
    });
    const swatch = make('span', {class: `swatch ${colourOf(index)}`});
    const state = run.problem ? run.problem : `${run.finished ? '' : 'not finished; '}${run.summary}`;
    const label = make('label', box.checked ? {} : {class: 'off'}, ...(runs.length > 1 ? [box] : []), swatch);
    label.append(make('span', {}, make('span', {class: 'name'}, run.name), ' ', make('span', {class: 'about'}, state)));
    return label;
  }));
}

// One of several samples, the newest unless another was chosen.
function pick(key, samples, display) {
  const chosen = samples.findIndex(s => s.step === shownSteps[key]);
  let at = chosen < 0 ? samples.length - 1 : chosen;
  const place = make('div'), caption = make('figcaption');
  const choose = i => {
    at = i;
    place.replaceChildren(display(samples[i]));
    caption.textContent = `step ${samples[i].step}`;
  };
  choose(at);
  if (samples.length === 1) return [place, caption];
  const slider = make('input', {type: 'range', min: 0, max: samples.length - 1, value: at, 'aria-label': 'Which step'});
  slider.addEventListener('input', () => {
    choose(Number(slider.value));
    if (at === samples.length - 1) delete shownSteps[key];
    else shownSteps[key] = samples[at].step;
  });
  return [place, slider, caption];
}

function showSamples() {
  const cards = [];
  for (const {run, index} of visible()) {
    const heading = what => make('h3', {}, ...(runs.length > 1 ? [make('span', {class: colourOf(index)}, '■ '), `${run.name}: `] : []), what);
    if (run.pictures.length > 0) cards.push(make('figure', {class: 'card'}, heading(run.pictures_title),
      ...pick(`${run.name} pictures`, run.pictures, s => make('img', {src: s.image, alt: `${run.pictures_title}, step ${s.step}`}))));
    if (run.texts.length > 0) cards.push(make('figure', {class: 'card text'}, heading('What it writes'), ...pick(`${run.name} texts`, run.texts, s => make('pre', {}, s.text))));
  }
  byId('samples').hidden = cards.length === 0;
  byId('samples').replaceChildren(make('h2', {}, 'Samples'), make('div', {class: 'all'}, ...cards));
}

function showHistograms() {
  const names = new Set();
  for (const {index} of visible()) for (const line of histograms[index]?.lines ?? []) for (const tensor of line.tensors) names.add(tensor.name);
  const select = byId('tensor');
  byId('histograms').hidden = names.size === 0;
  if (names.size === 0) return;
  const chosen = names.has(select.value) ? select.value : [...names][0];
  if ([...select.options].map(o => o.value).join() !== [...names].join()) select.replaceChildren(...[...names].map(name => make('option', {value: name}, name)));
  select.value = chosen;
  const ridges = byId('ridges');
  ridges.replaceChildren();
  for (const {run, index} of visible()) {
    const rows = (histograms[index]?.lines ?? []).flatMap(line => line.tensors.filter(t => t.name === chosen).map(t => ({step: line.step, ...t})));
    if (rows.length === 0) continue;
    const card = make('figure', {class: 'card'}, make('h3', {}, visible().length > 1 ? `${run.name}: ${chosen}` : chosen));
    ridges.append(card);
    card.append(drawRidges(card, rows, colourOf(index)));
  }
}

function showConfiguration() {
  const shown = visible().map(({run}) => run), names = [...new Set(shown.flatMap(run => Object.keys(run.config)))];
  const differs = name => shown.some(run => run.config[name] !== shown[0].config[name]);
  byId('configuration').hidden = names.length === 0;
  byId('only').hidden = shown.length < 2;
  const rows = names.filter(name => shown.length < 2 || !byId('differences').checked || differs(name));
  const head = shown.length < 2 ? [] : [make('tr', {}, make('th'), ...shown.map(run => make('th', {}, run.name)))];
  byId('settings').replaceChildren(...head, ...rows.map(name =>
    make('tr', shown.length > 1 && differs(name) ? {class: 'differs'} : {}, make('td', {}, name), ...shown.map(run => make('td', {}, run.config[name] ?? '–')))));
}

function show() {
  showRuns();
  showCharts();
  showSamples();
  showHistograms();
  showConfiguration();
}

function say(text, lost = false) {
  byId('status').textContent = text;
  byId('status').classList.toggle('lost', lost);
}

// Asks for the runs that have changed since the versions that are known, and for their histograms where those have.
async function poll() {
  try {
    const known = runs.map(run => run.version).join(',');
    const answer = await (await fetch(`/data?known=${encodeURIComponent(known)}`)).json();
    const changed = answer.runs.some(run => run !== null);
    runs = answer.runs.map((run, i) => run ?? runs[i]);
    await Promise.all(runs.map(async (run, i) => {
      if (histograms[i]?.version === run.histograms_version) return;
      histograms[i] = {version: run.histograms_version, lines: await (await fetch(`/histograms/${i}`)).json().then(h => h.lines)};
    }));
    if (changed) show();
    document.body.dataset.polls = Number(document.body.dataset.polls ?? 0) + 1;
    say(runs.every(run => run.finished) ? 'All runs are finished.' : `Live; seen at ${new Date().toLocaleTimeString()}`);
  } catch (error) {
    say('plumb board does not answer any more; what is shown is what was seen last.', true);
  }
  setTimeout(poll, pollEvery);
}

for (const id of ['smoothing', 'log-loss', 'log-step']) byId(id).addEventListener('input', showCharts);
byId('whole').addEventListener('click', () => {
  zoomed = null;
  showCharts();
});
byId('controls').addEventListener('submit', event => event.preventDefault());
byId('tensor').addEventListener('change', showHistograms);
byId('differences').addEventListener('change', showConfiguration);
let width = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === width) return;  // a telephone's address bar comes and goes
  width = innerWidth;
  showCharts();
  showHistograms();
});

const frozen = byId('data');
if (frozen) {
  ({runs, histograms} = JSON.parse(frozen.textContent));
  show();
} else {
  poll();
}
