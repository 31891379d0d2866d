// Two browsers with many tabs each: every tab is live, and the aggregator still answers.

import { another, charts, enter, eventually, expect, expectNoFaults, given, live, miss, origin, visit } from "./visit.mjs";

await visit(async (browser) => {
  const windows = [await enter(browser, { link: 0 }), await enter(browser, { link: 1 })];
  const tabs = [];
  for (let tab = 0; tab < given.tabs / 2; tab += 1) {
    for (const { context } of windows) {
      const page = await context.newPage();
      const path = tab % 3 === 0 ? "/devices" : `/devices/${given.device}${tab % 3 === 1 ? "" : "?tab=logs"}`;
      await page.goto(origin + path);
      tabs.push(page);
    }
  }
  for (const page of tabs) {
    await live(page);
  }
  const devices = tabs.filter((page) => new URL(page.url()).pathname !== "/devices" && !page.url().includes("tab="));
  const before = await Promise.all(devices.map(charts));
  await eventually("the charts of every tab go on", async () => {
    const found = await Promise.all(devices.map(charts));
    const standing = found.filter((now, place) => !(now[0]?.last > before[place][0]?.last)).length;
    return standing === 0 || miss(`${standing} of ${devices.length} stand still`);
  });
  for (const page of tabs) {
    await live(page);
  }
  const { context, page } = await another(browser, windows[0].context);
  const response = await page.goto(`${origin}/devices`);
  expect("one more window is answered", response.status() === 200, response.status());
  for (const window of [...windows, { context }]) {
    expectNoFaults(window.context, `${tabs.length} tabs`);
  }
});
