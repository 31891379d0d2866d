// Every page, in both themes, on a desk and on a phone: it loads without a fault, stays within its budgets, and axe
// finds nothing serious. A picture of each is kept for people.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { another, charts, enter, eventually, expect, expectNoFaults, given, keep, live, miss, origin, visit } from "./visit.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const device = `/devices/${given.device}`;
const PAGES = [
  { name: "devices", path: "/devices" },
  { name: "device", path: device, charts: true },
  { name: "logs", path: `${device}?tab=logs` },
  { name: "ledger", path: `${device}?tab=ledger` },
  { name: "alerts", path: `${device}?tab=alerts` },
  { name: "sinks", path: "/sinks" },
];
const LOOKS = [
  { theme: "light", width: 1440 },
  { theme: "dark", width: 1440 },
  { theme: "light", width: 390 },
  { theme: "dark", width: 390 },
];

// CONSOLE.md, section 2: budgets of any page.
const DOM_NODES_MAX = 3_000;
const HTML_BYTES_MAX = 60 * 1024;
const POINTS_MIN = 3;

await visit(async (browser) => {
  const first = await enter(browser);
  const backgrounds = {};
  for (const look of LOOKS) {
    const { context, page } = await another(browser, first.context, look);
    for (const it of PAGES) {
      await load(page, it, look);
      expectNoFaults(context, `${it.name}, ${look.theme}, ${look.width} px`);
    }
    backgrounds[look.theme] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await context.close();
  }
  expect("the dark theme is another one than the light one", backgrounds.dark !== backgrounds.light, backgrounds);
  await choose(first, backgrounds.dark);
  await pause(first);
});

async function load(page, { name, path, charts: hasCharts }, { theme, width }) {
  const where = `${name}, ${theme}, ${width} px`;
  const response = await page.goto(origin + path);
  expect(`${where}: it is there`, response.status() === 200, response.status());
  const bytes = gzipSync(await response.body()).length;
  expect(`${where}: compressed HTML within its budget`, bytes <= HTML_BYTES_MAX, bytes);
  await live(page);
  if (hasCharts) {
    await eventually(`${where}: each chart draws at least ${POINTS_MIN} points`, async () => {
      const found = await charts(page);
      return (found.length > 0 && found.every((chart) => chart.points >= POINTS_MIN)) || miss(found);
    });
  }
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  expect(`${where}: elements within the budget`, nodes <= DOM_NODES_MAX, nodes);
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  expect(`${where}: nothing scrolls sideways`, wide <= room, `${wide} px wide in ${room} px`);
  await keep(page, `${name}-${theme}-${width}`, { full: true });
  await judge(page, where);
}

/** The form in the frame turns a page dark where the system is light, and it stays so. */
async function choose({ context, page }, dark) {
  await page.goto(`${origin}/devices`);
  await page.click('form#theme button[value="dark"]');
  for (const path of ["/devices", device]) {
    await page.goto(origin + path);
    const found = await page.evaluate(() =>
      ({ theme: document.documentElement.dataset.theme, background: getComputedStyle(document.documentElement).backgroundColor }));
    expect(`${path}: the chosen theme stays`, found.theme === "dark" && found.background === dark, found);
  }
  expectNoFaults(context, "choosing a theme");
}

/** A sink is paused by a button, and goes on by another one. */
async function pause({ context, page }) {
  await page.goto(`${origin}/sinks`);
  for (const [button, state] of [["Pause", "Paused"], ["Let it go on", "Running"]]) {
    await page.click(`button:has-text("${button}")`);
    await eventually(`the sink is ${state}`, async () => {
      const found = await page.textContent('[data-value="history.state"] .hw-tile-text');
      return found === state || miss(found);
    });
  }
  expectNoFaults(context, "pausing a sink");
}

/** What axe says. It is evaluated as the debugger does, since the page's policy lets no foreign script in. */
async function judge(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { preload: false, resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const found = serious.map(({ id, impact, help, nodes }) =>
    ({ id, impact, help, at: nodes.slice(0, 5).map((node) => `${node.target} ${node.failureSummary}`) }));
  expect(`${where}: axe finds nothing serious`, found.length === 0, found);
}
