// What moves on a page. Texts of strangers become text nodes and nothing else.
(() => {
'use strict';
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const text = (node, value) => { if (node && node.textContent !== value) node.textContent = value; };
const make = (tag, className, content) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (content !== undefined) node.textContent = content;
  return node;
};
const announce = words => text($('#announce'), words);

// ---- live
// Browsers open six connections to a host: four streams (a lock each) leave two; other pages ask again.
const STREAMS = 4, POLL_MS = 5000, SILENT_MS = 30000, DELAY_MIN = 500, DELAY_MAX = 15000;
const live = { paused: new URLSearchParams(location.search).get('live') === '0', delay: DELAY_MIN,
  run: 0, abort: null, heard: 0, drawn: 0, lastId: '', state: '' };
const handlers = {};

function pill(state, words) {
  const node = $('#live-pill');
  if (!node) return;
  if (live.state && live.state !== state) {
    if (state === 'reconnecting') announce('The connection to the aggregator is lost.');
    if (state === 'live' && live.state === 'reconnecting') announce('The connection is back.');
  }
  live.state = state;
  node.dataset.state = state;
  text($('#live-word'), words);
  document.body.classList.toggle('hw-stale', state === 'reconnecting');
}
const at = () => live.heard ? second(live.heard / 1000) : '–';
const liveUrl = () => $('#list')?.dataset.live || document.body.dataset.live;
const sleep = (ms, signal) => new Promise(done => {
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
});

function event(block) {
  let name = 'message', data = '', id = null;
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    else if (line.startsWith('data: ')) data += line.slice(6);
    else if (line.startsWith('id: ')) id = line.slice(4);
  }
  if (id !== null) live.lastId = id;
  if (data && handlers[name]) handlers[name](JSON.parse(data));
}
function heard(words) {
  live.heard = Date.now();
  live.delay = DELAY_MIN;
  pill('live', words);
}

function good(response) {
  if (response.status === 401) { live.ended = true; throw new Error('no session'); }
  if (!response.ok) throw new Error('status ' + response.status);
}
async function read(url, signal, words) {
  // No heartbeat for 30 s: it is dead, whatever the socket says.
  const silence = new AbortController(), list = liveUrl();
  const stop = () => silence.abort();
  signal.addEventListener('abort', stop, { once: true });
  let timer = setTimeout(stop, SILENT_MS);
  try {
    const headers = { Accept: 'text/event-stream' };
    if (live.lastId) headers['Last-Event-ID'] = live.lastId;
    const response = await fetch(url, { headers, cache: 'no-store', signal: silence.signal });
    good(response);
    const reader = response.body.getReader(), decoder = new TextDecoder();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENT_MS);
      heard(words);
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop();
      // Once a search has put another list in place, this stream knows nothing of it.
      if (liveUrl() === list) blocks.forEach(event);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

// Holds a stream while `work` runs; without one, `work` asks again.
async function withSlot(signal, work) {
  if (!navigator.locks) return work(false);
  for (let slot = 0; slot < STREAMS; slot++) {
    const got = await navigator.locks.request('hw-stream-' + slot, { ifAvailable: true },
      lock => lock && !signal.aborted ? work(true).then(() => true) : false);
    if (got) return;
  }
  await work(false);
}

async function go() {
  const run = ++live.run;
  live.abort?.abort();
  const abort = live.abort = new AbortController(), signal = abort.signal;
  const over = () => run !== live.run || signal.aborted;
  while (!over()) {
    if (!liveUrl()) return;
    try {
      await withSlot(signal, async streams => {
        if (over()) return;
        await live.connected?.();
        if (streams) {
          await read(liveUrl(), signal, 'Live');
          if (!over()) throw new Error('the stream ended');
        } else {
          await read(liveUrl() + '&once=1', signal, 'Live, every 5 s');
          await sleep(POLL_MS, signal);
        }
      });
    } catch (error) {
      if (over()) return;
      if (live.ended) return pill('reconnecting', 'Session over · click to log in');
      pill('reconnecting', 'Reconnecting (data from ' + at() + ')');
      await sleep(live.delay * (0.7 + Math.random() * 0.6), signal);
      live.delay = Math.min(live.delay * 2, DELAY_MAX);
    }
  }
}
function halt() { live.run++; live.abort?.abort(); }
function setPaused(paused) {
  live.paused = paused;
  const url = new URL(location.href);
  if (paused) url.searchParams.set('live', '0'); else url.searchParams.delete('live');
  history.replaceState(history.state, '', url);
  if (paused) { halt(); pill('paused', 'Paused at ' + at()); } else go();
}
function toggle() {
  if (live.ended) { location.href = '/login'; return; }
  setPaused(!live.paused);
}

// ---- rows, heads, tiles
const deviceRows = () => $$('#devices tbody tr');
handlers.now = clock => text($('#now'), clock);
handlers.foot = foot => {
  const node = $('#verdict');
  node.dataset.verdict = foot.word;
  text(node, foot.text);
};
handlers.rows = rows => {
  const known = new Map(deviceRows().map(row => [row.dataset.device, row]));
  for (const cells of rows) {
    const row = known.get(cells.device);
    if (!row) { if (!known.size && $('#list .hw-empty') && !live.reloaded) refresh(); continue; }
    row.dataset.fresh = cells.fresh;
    $('.hw-state', row).dataset.state = cells.state;
    for (const node of $$('[data-cell]', row)) text(node, cells[node.dataset.cell]);
    $('[data-cell=seen]', row).title = cells.seen_at;
  }
};
// What a template makes is drawn anew.
function refresh() { live.reloaded = true; location.reload(); }
handlers.count = count => {
  for (const node of $$('[data-count]')) text(node, String(count[node.dataset.count]));
};
handlers.head = head => {
  $('#device').dataset.fresh = head.fresh;
  $('#state').dataset.state = head.state;
  text($('#state-label'), head.label);
  text($('#since'), head.since);
  text($('#skew'), head.skew);
};
handlers.alerts = ({ label, stamp }) => {
  text($$('.hw-tabs a')[3], label);
  const node = $('#alerts');
  if (node && node.dataset.stamp !== stamp) refresh();
};
handlers.tiles = tiles => {
  for (const tile of tiles) {
    const node = $$('[data-value]').find(node => node.dataset.value === tile.metric);
    if (!node) continue;
    text($('.hw-tile-text', node), tile.text);
    text($('.hw-tile-note', node), tile.note);
  }
  if (tiles.length && !$('[data-value]')) refresh();
};

// ---- charts
const POINTS_MAX = 600, DASHES = [[], [], [], [6, 3], [2, 2], [8, 2, 2, 2]];
const three = value => Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
function scaled(value, step, units) {
  let unit = 0;
  while (Math.abs(value) >= step * 0.9995 && unit + 1 < units.length) { value /= step; unit++; }
  return (unit ? three(value) : value.toFixed(0)) + ' ' + units[unit];
}
const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], BITS = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'];
const formats = {
  ratio: value => (value * 100).toFixed(1) + ' %', share: value => (value * 100).toFixed(1) + ' %',
  bytes: value => scaled(value, 1024, BYTES), rate: value => scaled(value, 1024, BYTES) + '/s',
  bits: value => scaled(value * 8, 1000, BITS), number: three, celsius: value => three(value) + ' °C',
};
const point = ({ mean, min, max, n }, index, format, sign) => n[index]
  ? format(mean[index]) + ' (' + format(min[index]) + ' to ' + format(max[index]) + ', ' + sign + n[index] + ')' : 'no sample';
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const second = seconds => new Date(seconds * 1000).toISOString().slice(11, 19), minute = seconds => second(seconds).slice(0, 5);
const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = new Map();
const sync = window.uPlot ? uPlot.sync('hw') : null;

// x and, per line, mean, smallest, largest and count.
class Chart {
  constructor(figure, step) {
    this.figure = figure; this.step = step; this.x = []; this.lines = new Map(); this.plot = null;
    const button = $('.hw-as-table', figure);
    button.hidden = false;
    button.onclick = () => {
      const holder = $('.hw-chart-table', figure);
      holder.hidden = !holder.hidden;
      button.setAttribute('aria-expanded', String(!holder.hidden));
      this.table();
    };
    const plot = $('.hw-plot', figure);
    plot.onkeydown = event => this.key(event);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(plot);
  }
  size() {
    const node = $('.hw-plot', this.figure);
    return { width: Math.max(node.clientWidth, 200), height: Math.max(node.clientHeight, 120) };
  }
  // Takes a grid of windows: those that are known are replaced, later ones follow, holes stay holes.
  merge(chart, from, whole) {
    this.unit = chart.unit; this.band = chart.band;
    const count = chart.lines[0]?.mean.length || 0;
    const end = from / 1000 + (count - 1) * this.step;
    const newest = Math.max(-1, ...chart.lines.map(line => line.n.findLastIndex(n => n)));
    // An aggregator that comes back may know less for a while: what is drawn stays.
    if (from + newest * this.step * 1000 < this.figure.dataset.last) whole = false;
    if (whole) { this.x = []; this.lines.clear(); }
    const start = this.x[0] ?? from / 1000;
    if (!this.x.length) this.x = [start];
    while (this.x.at(-1) + this.step <= end + 1e-6) this.x.push(this.x.at(-1) + this.step);
    for (const line of chart.lines) {
      if (!this.lines.has(line.label)) {
        if (!whole || this.lines.size >= 6) continue;
        this.lines.set(line.label, { mean: [], min: [], max: [], n: [] });
      }
      const known = this.lines.get(line.label), offset = Math.round((from / 1000 - start) / this.step);
      for (let index = 0; index < count; index++) {
        const place = index + (whole ? 0 : offset);
        if (place < 0 || !line.n[index]) continue;
        for (const field of ['mean', 'min', 'max', 'n']) known[field][place] = line[field][index];
      }
    }
    const more = this.x.length - (this.most ||= Math.min(Math.max(count, 2), POINTS_MAX));
    if (more > 0) {
      this.x.splice(0, more);
      for (const line of this.lines.values()) for (const field of ['mean', 'min', 'max', 'n']) line[field].splice(0, more);
    }
    this.draw();
  }
  data() {
    const fill = values => this.x.map((_, index) => values[index] ?? null);
    const data = [this.x.slice()];
    for (const line of this.lines.values()) {
      data.push(fill(line.mean));
      if (this.band) data.push(fill(line.max), fill(line.min));
    }
    return data;
  }
  draw() {
    const data = this.data();
    const means = [...this.lines.values()].map(line => line.mean);
    let drawn = 0, last = 0;
    this.x.forEach((x, index) => {
      if (means.some(mean => mean[index] !== undefined && mean[index] !== null)) { drawn++; last = x; }
    });
    this.figure.dataset.points = drawn;
    this.figure.dataset.last = Math.round(last * 1000);
    if (!window.uPlot) return;
    const shape = [...this.lines.keys()].join('\n');
    if (this.plot && this.shape === shape) this.plot.setData(data);
    else this.build(data, shape, drawn);
    if (this.plot.cursor.idx == null) this.legend(null);
    if (!$('.hw-chart-table', this.figure).hidden) this.table();
  }
  build(data, shape, drawn) {
    this.plot?.destroy();
    this.shape = shape;
    const series = [{}], bands = [];
    let number = 0;
    for (const label of this.lines.keys()) {
      const colour = token('--c' + ++number);
      series.push({ label, stroke: colour, width: 1.5, dash: DASHES[number - 1], spanGaps: false,
        points: { show: drawn < 30, size: 4, fill: colour } });
      if (this.band) {
        const hidden = { stroke: 'transparent', width: 0, spanGaps: false, points: { show: false } };
        const place = series.push({ ...hidden }, { ...hidden });
        bands.push({ series: [place - 2, place - 1], fill: colour + '2E' });
      }
    }
    const format = formats[this.unit], muted = token('--muted'), font = '12px ' + token('--sans'), grid = { stroke: token('--grid'), width: 1 };
    const range = this.unit === 'ratio' ? [0, 1] : (plot, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1];
    const options = {
      ...this.size(), series, bands, legend: { show: false }, tzDate: stamp => uPlot.tzDate(new Date(stamp * 1000), 'UTC'),
      scales: { x: { time: true }, y: { range } },
      cursor: { drag: { x: false, y: false }, sync: sync ? { key: sync.key } : undefined, points: { size: 6 } },
      axes: [
        { stroke: muted, grid: { show: false }, ticks: grid, size: 28, font, values: (plot, ticks) => ticks.map(minute), space: 60 },
        { stroke: muted, grid, ticks: grid, size: (plot, texts) => 24 + 7 * Math.max(4, ...(texts || []).map(it => it.length)), font, incrs: /bytes|rate/.test(this.unit) ? POWERS : undefined, values: (plot, ticks) => ticks.map(tick => this.unit === 'ratio' ? Math.round(tick * 100) + ' %' : format(tick)), space: 36 },
      ],
      hooks: { setCursor: [plot => this.legend(plot.cursor.idx)] },
    };
    this.plot = new uPlot(options, data, $('.hw-plot', this.figure));
  }
  legend(index) {
    const holder = $('.hw-legend', this.figure), format = formats[this.unit];
    if (index == null) for (index = this.x.length - 1; index > 0; index--) {
      if ([...this.lines.values()].some(line => line.n[index])) break;
    }
    const nodes = [make('span', 'hw-muted', this.x[index] === undefined ? '' : second(this.x[index]) + ' UTC')];
    let number = 0;
    for (const [label, line] of this.lines) {
      const node = make('span');
      node.append(make('span', 'hw-key c' + ++number), document.createTextNode(label + ' ' + point(line, index, format, 'n=')));
      nodes.push(node);
    }
    holder.replaceChildren(...nodes);
  }
  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.plot) return;
    event.preventDefault();
    const last = this.x.length - 1;
    const index = Math.min(Math.max((this.plot.cursor.idx ?? last) + step, 0), last);
    this.plot.setCursor({ left: this.plot.valToPos(this.x[index], 'x'), top: 10 });
    this.legend(index);
    announce($('.hw-legend', this.figure).textContent);
  }
  table() {
    const holder = $('.hw-chart-table', this.figure);
    if (holder.hidden) return;
    const table = make('table', 'hw-table'), head = make('tr'), body = make('tbody'), format = formats[this.unit];
    head.append(make('th', '', 'Window (UTC)'));
    for (const label of this.lines.keys()) head.append(make('th', 'hw-number', label + ': mean (min to max, n)'));
    for (let index = this.x.length - 1; index >= 0; index--) {
      const row = make('tr');
      row.append(make('th', '', second(this.x[index])));
      for (const line of this.lines.values()) row.append(make('td', 'hw-number', point(line, index, format, '')));
      body.append(row);
    }
    const top = make('thead');
    top.append(head);
    table.append(top, body);
    holder.replaceChildren(table);
  }
}
function plot(plotted, whole) {
  const figures = new Map($$('figure.hw-chart').map(figure => [figure.dataset.metric, figure]));
  for (const chart of plotted.charts) {
    const figure = figures.get(chart.metric);
    if (!figure) { if (!figures.size && !whole) refresh(); continue; }
    if (!charts.has(chart.metric)) charts.set(chart.metric, new Chart(figure, plotted.step / 1000));
    const drawn = charts.get(chart.metric);
    if (whole || drawn.x.length) drawn.merge(chart, plotted.from, whole);
    if (whole) text($('.hw-summary', figure), chart.summary);
  }
}
handlers.points = plotted => {
  plot(plotted, false);
  if (Date.now() - live.drawn > 60000) whole().catch(() => {});
};
// At each connection, and each minute, the whole range is read: a pause leaves no hole, words keep up.
async function whole() {
  const response = await fetch($('[data-charts]').dataset.charts, { cache: 'no-store' });
  good(response);
  live.drawn = Date.now();
  plot(await response.json(), true);
}
if ($('[data-charts]')) live.connected = () => Date.now() - live.drawn < 12000 ? null : whole();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts.values()) { chart.shape = null; chart.draw(); }
});

// ---- log tail
const LINES_KEPT = 1000, tail = $('#log-tail');
let unseen = 0;
const atEnd = () => tail.scrollHeight - tail.scrollTop - tail.clientHeight < 8;
function toEnd() {
  tail.scrollTop = tail.scrollHeight;
  unseen = 0;
  $('#log-new').hidden = true;
}
handlers.lines = ({ all, lines }) => {
  const stick = atEnd(), added = document.createDocumentFragment();
  $('#log-empty')?.remove();
  for (const line of lines) {
    const row = make('div', 'hw-line'), time = make('time', 'hw-muted', line.time);
    time.title = line.at;
    row.append(time, ' ', make('span', 'hw-source', line.source), ' ', make('span', 'hw-body', line.text));
    if (line.more) row.append(' ', make('span', 'hw-badge', line.more));
    added.append(row);
  }
  tail.append(added);
  let extra = tail.childElementCount - LINES_KEPT;
  // Whoever reads further up keeps what they read, up to twice as much.
  if (!stick) extra -= LINES_KEPT;
  while (extra-- > 0) tail.firstElementChild.remove();
  text($('#log-note'), all > lines.length ? 'Showing ' + lines.length + ' of ' + all + ' lines of the last second.' : '');
  if (stick) return toEnd();
  unseen += lines.length;
  const button = $('#log-new');
  button.hidden = false;
  text(button, unseen.toLocaleString('en') + ' new · End to resume');
};
if (tail) {
  toEnd();
  tail.addEventListener('scroll', () => { if (atEnd()) toEnd(); });
  $('#log-new').onclick = () => { toEnd(); tail.focus(); };
}

// ---- keys
let before = '';
document.addEventListener('keydown', event => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (target.closest('input,textarea,select,[contenteditable]') || $('dialog[open]')) return;
  const rows = deviceRows(), here = rows.findIndex(row => row.contains(document.activeElement));
  const focus = index => $('a', rows[Math.min(Math.max(index, 0), rows.length - 1)])?.focus();
  const chord = before + key;
  before = key === 'g' ? 'g' : '';
  if (chord === 'gd') location.href = '/devices';
  else if (key === '/') $('#search')?.focus();
  else if (key === '?') $('#keys')?.showModal();
  else if (key === '.') toggle();
  else if (key === 'j' && rows.length) focus(here + 1);
  else if (key === 'k' && rows.length) focus(here - 1);
  else if (key === 'End' && tail) toEnd();
  else if (/^[1-4]$/.test(key)) $$('.hw-tabs a')[key - 1]?.click();
  else return;
  event.preventDefault();
});
$('#keys-open')?.addEventListener('click', () => $('#keys').showModal());
$('#live-pill')?.addEventListener('click', toggle);

// A hidden page closes its stream; seen again, it catches up.
document.addEventListener('visibilitychange', () => {
  if (live.paused || live.ended) return;
  if (document.hidden) { halt(); pill('paused', 'Paused while hidden'); } else go();
});
// A search drew another list: its stream is another one.
document.addEventListener('htmx:after:swap', () => { if (!live.paused) { live.lastId = ''; go(); } });
window.addEventListener('pagehide', halt);
window.addEventListener('pageshow', event => { if (event.persisted && !live.paused) go(); });
if (document.body.dataset.live) {
  if (live.paused) pill('paused', 'Paused'); else { pill('reconnecting', 'Connecting'); go(); }
}
})();
