// Live values move: tiles and charts follow the samples, without a reload.

import { charts, enter, eventually, expect, expectNoFaults, given, live, miss, origin, values, visit } from "./visit.mjs";

// Windows are 10 s long; the newest one is drawn while it is open, so something moves far sooner.
const MOVES_MS = 45_000;

const lastOf = (found, metric) => Math.max(0, ...found.filter((chart) => chart.metric === metric).map(({ last }) => last));

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  await page.goto(`${origin}/devices/${given.device}`);
  await live(page);
  const shown = await eventually("the tiles show values", async () => {
    const found = await values(page);
    return Object.values(found).some((text) => /\d/.test(text)) ? found : miss(found);
  });
  const drawn = await eventually("the charts draw points", async () => {
    const found = await charts(page);
    return found.length > 0 && found.every((chart) => chart.last > 0) ? found : miss(found);
  });
  await eventually("a tile's value moves", async () => {
    const found = await values(page);
    return Object.keys(shown).some((metric) => shown[metric] !== found[metric]) || miss(found);
  }, MOVES_MS);
  await eventually("every chart goes on to a later window", async () => {
    const found = await charts(page);
    return drawn.every((before) => lastOf(found, before.metric) > before.last) || miss({ drawn, found });
  }, MOVES_MS);
  await page.goto(`${origin}/devices/${given.device}?range=24h`);
  await live(page);
  const day = await eventually("charts of a day draw points", async () => {
    const found = await charts(page);
    return found.length > 0 && found.every((chart) => chart.last > 0) ? found : miss(found);
  });
  expect("a day has points of five minutes", day.every(({ last }) => last % 300_000 === 0), day);
  expect("and says so", (await page.textContent(".hw-charts-head")).includes("1 point = 5 min"), day);
  expectNoFaults(context, "a device that is watched");
});
