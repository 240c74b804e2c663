// Charts as SVG: axes with round numbers, lines, dots and ridges, a cross-hair. Nothing here knows what a run is.
'use strict';

// An element with attributes and children; texts become text, never markup.
function make(tag, attributes = {}, ...children) {
  const svg = ['svg', 'g', 'path', 'line', 'circle', 'text', 'rect', 'clipPath', 'defs'].includes(tag);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A number as a person reads it: four digits that matter, thousands as k.
function readable(v) {
  if (v === null || !Number.isFinite(v)) return '–';
  const size = Math.abs(v);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return v.toExponential(2).replace('e+', 'e').replace(/\.?0+e/, 'e');
  if (size >= 1e5) return `${+(v / 1000).toPrecision(4)}k`;
  return String(+v.toPrecision(4));
}

// Ticks that differ by less than that shows are told apart by more digits.
function labels(values) {
  const texts = values.map(readable);
  if (new Set(texts).size === texts.length) return texts;
  const step = values[1] - values[0];
  return values.map(v => v.toFixed(Math.min(12, Math.max(0, Math.ceil(-Math.log10(step))))));
}

// Round numbers from low to high: 1, 2 or 5 times a power of ten apart.
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw)), ratio = raw / power;
  const step = power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && values.length < 50; ++i) values.push(i * step);
  return values;
}

// On a logarithmic axis: powers of ten, with 2 and 5 times them where there are few; plain ticks where the range is less than that.
function logTicks(low, high, count) {
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high)), values = [];
  const every = Math.max(1, Math.ceil((to - from) / count));
  const factors = to - from <= 3 ? [1, 2, 5] : [1];
  for (let p = from; p <= to; p += every) values.push(...factors.map(f => f * 10 ** p));
  const inside = values.filter(v => v >= low * 0.999 && v <= high * 1.001);
  return inside.length > 1 ? inside : ticks(low, high, count);
}

// Where values of [low, high] lie between two pixels.
function scale(low, high, from, to, log) {
  if (log) [low, high] = [Math.log(low), Math.log(high)];
  const place = v => from + ((log ? Math.log(v) : v) - low) / (high - low) * (to - from);
  const value = pixel => {
    const v = low + (pixel - from) / (to - from) * (high - low);
    return log ? Math.exp(v) : v;
  };
  return {place, value};
}

// The smallest and largest of the values that can be shown, widened where they are one.
function extent(values, log, padding) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (!Number.isFinite(v) || (log && v <= 0)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high))) {
    if (log) return [low / 2, high * 2];
    const half = Math.max(Math.abs(low) * 0.05, 1e-6);
    return [low - half, high + half];
  }
  if (log) return [low / (high / low) ** padding, high * (high / low) ** padding];
  const more = (high - low) * padding;
  return [low >= 0 && low - more < 0 ? 0 : low - more, high + more];
}

// Points as a path; it is broken where one cannot be shown.
function pathOf(points, x, y, logX, logY) {
  let d = '', down = false;
  for (const [a, b] of points) {
    const shown = Number.isFinite(b) && (!logY || b > 0) && (!logX || a > 0);
    if (shown) d += `${down ? 'L' : 'M'}${x.place(a).toFixed(1)},${y.place(b).toFixed(1)}`;
    down = shown;
  }
  return d;
}

let clips = 0;  // names of clip paths, which are the page's

// Draws `chart` into `card`: {title, series: [{name, style: 'curve' | 'raw' | 'dashed', colour: class, points: [[x, y], …]}], range: [low, high] of x,
// logX, logY, fromZero, height}. Points must be in order of x. Dashed series have dots at their points. zoom([low, high]) is called when some of it is chosen.
function drawChart(card, chart, zoom) {
  const width = Math.max(240, card.clientWidth - 26), height = chart.height, left = 56, right = width - 16, top = 8, bottom = height - 22;
  const {series, logX, logY, range} = chart;
  const within = ([a]) => a >= range[0] && a <= range[1];
  const measured = series.some(s => s.style !== 'raw') ? series.filter(s => s.style !== 'raw') : series;
  const values = measured.flatMap(s => s.points.filter(within).map(p => p[1]));
  const [low, high] = extent(chart.fromZero ? [...values, 0] : values, logY, 0.05);
  const x = scale(range[0], range[1], left, right, logX), y = scale(low, high, bottom, top, logY);
  const clip = `clip-${++clips}`;
  const picture = make('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': chart.title});
  picture.append(make('defs', {}, make('clipPath', {id: clip}, make('rect', {x: left - 4, y: top - 4, width: right - left + 8, height: bottom - top + 8}))));
  const across = logX ? logTicks(range[0], range[1], width / 90) : ticks(range[0], range[1], width / 90);
  labels(across).forEach((label, i) => {
    const at = x.place(across[i]).toFixed(1);
    picture.append(make('line', {class: 'grid', x1: at, x2: at, y1: top, y2: bottom}), make('text', {x: at, y: height - 7, 'text-anchor': 'middle'}, label));
  });
  const up = logY ? logTicks(low, high, 5) : ticks(low, high, 5);
  labels(up).forEach((label, i) => {
    const at = y.place(up[i]);
    picture.append(make('line', {class: 'grid', x1: left, x2: right, y1: at.toFixed(1), y2: at.toFixed(1)}), make('text', {x: left - 6, y: (at + 4).toFixed(1), 'text-anchor': 'end'}, label));
  });
  const lines = make('g', {'clip-path': `url(#${clip})`});
  for (const s of series) {
    lines.append(make('path', {class: `${s.style} ${s.colour}`, d: pathOf(s.points, x, y, logX, logY)}));
    if (s.style !== 'dashed' || s.points.length > 80) continue;
    for (const [a, b] of s.points)
      if (Number.isFinite(b) && (!logY || b > 0) && (!logX || a > 0)) lines.append(make('circle', {class: `dot ${s.colour}`, cx: x.place(a).toFixed(1), cy: y.place(b).toFixed(1), r: 3}));
  }
  picture.append(lines);
  listen(picture, card, {width, left, right, top, bottom, x, series, range}, zoom);
  return picture;
}

// The point of a series next to x = v, by bisection.
function nearest(points, v) {
  let from = 0, to = points.length - 1;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (points[middle][0] < v) from = middle + 1;
    else to = middle;
  }
  return from > 0 && v - points[from - 1][0] < points[from][0] - v ? points[from - 1] : points[from];
}

// The cross-hair with its numbers, and choosing a range by dragging.
function listen(picture, card, area, zoom) {
  const cross = make('line', {class: 'cross', y1: area.top, y2: area.bottom, visibility: 'hidden'});
  const chosen = make('rect', {class: 'chosen', y: area.top, height: area.bottom - area.top, width: 0});
  const tip = make('div', {class: 'tip', hidden: ''});
  picture.append(cross, chosen);
  card.append(tip);
  const pixel = event => {
    const box = picture.getBoundingClientRect();
    return Math.min(area.right, Math.max(area.left, (event.clientX - box.left) / box.width * area.width));
  };
  let begun = null;
  picture.addEventListener('pointermove', event => {
    const at = pixel(event);
    if (begun !== null) {
      chosen.setAttribute('x', Math.min(at, begun));
      chosen.setAttribute('width', Math.abs(at - begun));
    }
    const read = area.series.filter(s => s.style !== 'raw' && s.points.length > 0).map(s => ({s, point: nearest(s.points, area.x.value(at))}));
    if (read.length === 0) return;
    const step = read[0].point[0], place = area.x.place(step);
    cross.setAttribute('x1', place);
    cross.setAttribute('x2', place);
    cross.setAttribute('visibility', 'visible');
    tip.replaceChildren(make('div', {}, `step ${step}`), ...read.slice(0, 16).map(({s, point}) => make('div', {class: s.colour}, make('span', {}, s.name), make('b', {}, readable(point[1])))));
    tip.hidden = false;
    const x = event.clientX - card.getBoundingClientRect().left;
    tip.style.left = x > card.clientWidth / 2 ? 'auto' : `${x + 14}px`;
    tip.style.right = x > card.clientWidth / 2 ? `${card.clientWidth - x + 14}px` : 'auto';
    tip.style.top = '2.4rem';
  });
  const leave = () => {
    cross.setAttribute('visibility', 'hidden');
    tip.hidden = true;
    chosen.setAttribute('width', 0);
    begun = null;
  };
  picture.addEventListener('pointerleave', leave);
  picture.addEventListener('pointerdown', event => {
    if (event.button === 0 && event.pointerType === 'mouse') begun = pixel(event);
  });
  picture.addEventListener('pointerup', event => {
    const at = pixel(event), from = begun;
    leave();
    if (from !== null && Math.abs(at - from) > 6) zoom([area.x.value(Math.min(at, from)), area.x.value(Math.max(at, from))]);
  });
  picture.addEventListener('dblclick', () => zoom(null));
}

// Histograms over steps as ridges, the newest in front: rows [{step, low, high, counts}], oldest first.
function drawRidges(card, rows, colour) {
  const width = Math.max(240, card.clientWidth - 26), left = 56, right = width - 16, gap = 18, peak = 46, top = peak + 6;
  const bottom = top + gap * (rows.length - 1), height = bottom + 24;
  const [low, high] = extent(rows.flatMap(r => [r.low, r.high]), false, 0.02);
  const x = scale(low, high, left, right, false);
  const picture = make('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'Histogram'});
  for (const v of ticks(low, high, width / 110)) {
    const at = x.place(v).toFixed(1);
    picture.append(make('line', {class: 'grid', x1: at, x2: at, y1: top - peak, y2: bottom}), make('text', {x: at, y: height - 7, 'text-anchor': 'middle'}, readable(v)));
  }
  // Density, not counts: buckets of different steps are of different widths.
  const density = r => r.counts.map(c => c / Math.max(1e-300, (r.high - r.low) / r.counts.length) / Math.max(1, r.counts.reduce((a, b) => a + b, 0)));
  const most = Math.max(...rows.flatMap(density));
  rows.forEach((r, i) => {
    const base = top + gap * i, size = (r.high - r.low) / r.counts.length;
    let d = `M${x.place(r.low).toFixed(1)},${base}`;
    density(r).forEach((v, k) => {
      const y = (base - peak * v / most).toFixed(1);
      d += `L${x.place(r.low + size * k).toFixed(1)},${y}L${x.place(r.low + size * (k + 1)).toFixed(1)},${y}`;
    });
    picture.append(make('path', {class: `ridge ${colour}`, d: `${d}L${x.place(r.high).toFixed(1)},${base}`}));
    picture.append(make('text', {x: left - 6, y: base, 'text-anchor': 'end'}, readable(r.step)));
  });
  return picture;
}
