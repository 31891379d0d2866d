// Devices that say strange things: clocks of 1970 and 2100, ten thousand mounts. Their pages load, stay small, and show
// the present.

import { gzipSync } from "node:zlib";
import { charts, enter, eventually, expect, expectNoFaults, given, keep, live, miss, origin, visit } from "./visit.mjs";

// CONSOLE.md, section 2: budgets of any page.
const DOM_NODES_MAX = 3_000;
const HTML_BYTES_MAX = 60 * 1024;
// The offset of a clock is measured, to about the time that a message takes.
const NOW_MS = 120_000;

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  for (const name of given.devices) {
    const response = await page.goto(`${origin}/devices/${name}`);
    expect(`${name}: it is there`, response.status() === 200, response.status());
    const bytes = gzipSync(await response.body()).length;
    expect(`${name}: compressed HTML within the budget`, bytes <= HTML_BYTES_MAX, bytes);
    await live(page);
    await eventually(`${name}: its chart of the processor ends at the present`, async () => {
      const busy = (await charts(page)).find((chart) => chart.metric === "cpu.busy_ratio");
      return (busy?.points > 0 && Math.abs(Date.now() - busy.last) < NOW_MS) || miss({ busy, now: Date.now() });
    });
    const tile = await page.evaluate(() => document.querySelector('[data-value="cpu.busy_ratio"]')?.textContent);
    expect(`${name}: its processors have a tile`, tile?.includes("%"), tile);
    const told = (await page.textContent("main")).includes("more than 4096 series");
    expect(`${name}: whether it sends too much is told`, told === (name === "mounted"), told);
    const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
    expect(`${name}: elements within the budget`, nodes <= DOM_NODES_MAX, nodes);
    await keep(page, `strange-${name}`, { full: true });
  }
  await page.goto(`${origin}/devices`);
  await live(page);
  expectNoFaults(context, "devices that say strange things");
});
