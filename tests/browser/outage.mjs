// The aggregator is killed while a device is watched: the page says so and its old values look old. It comes back, and
// so does the page, by itself. The caller kills at "watching" and starts again at "gone".

import { charts, enter, eventually, expect, expectNoFaults, given, keep, live, miss, origin, pill, step, visit } from "./visit.mjs";

// CONSOLE.md, section 7: no heartbeat for 30 s, and a second for the look.
const NOTICED_MS = 31_000;
// Back-off grows to 30 s with a third of jitter; then the page is read anew.
const BACK_MS = 60_000;

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  await page.goto(`${origin}/devices/${given.device}`);
  await live(page);
  await eventually("charts draw points", async () => {
    const found = await charts(page);
    return (found.length > 0 && found.every((chart) => chart.points > 0)) || miss(found);
  });
  // The first charts of a device let the page load anew, once.
  await live(page);
  await watchLastPoints(page);
  const before = await charts(page);
  step("watching");

  await pill(page, "reconnecting", NOTICED_MS);
  await eventually("values look old", async () => {
    const found = await looks(page);
    return (found.length > 0 && found.every((style) => style.includes("dotted"))) || miss(found);
  }, 5_000);
  const text = await page.evaluate(() => document.querySelector("#live-pill").textContent);
  expect("the pill says since when the data is", /\d\d:\d\d:\d\d/.test(text), text);
  await keep(page, "outage");
  step("gone");

  await live(page, BACK_MS);
  // The agent finds out by itself that its connection is dead, which takes the time-out of an idle one.
  await eventually("values look new again", async () => {
    const found = await looks(page);
    return found.every((style) => !style.includes("dotted")) || miss(found);
  });
  await eventually("every chart goes on", async () => {
    const found = await charts(page);
    return before.every((chart, place) => found[place]?.last > chart.last) || miss({ before, found });
  });
  const jumps = await page.evaluate(() => globalThis.jumpsBack);
  expect("no chart jumps back", jumps.length === 0, jumps);
  // What the browser itself says of requests that could not be made is what a killed server looks like.
  context.faults.splice(0, Infinity, ...context.faults.filter((fault) => !fault.includes("net::ERR_")));
  expectNoFaults(context, "a page whose server was away");
});

/** How the values are underlined. */
function looks(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll("[data-value] .hw-value")].map((value) => getComputedStyle(value).textDecoration));
}

/** Notes each time that a chart's newest point is older than it was. */
function watchLastPoints(page) {
  return page.evaluate(() => {
    globalThis.jumpsBack = [];
    for (const figure of document.querySelectorAll("figure.hw-chart")) {
      let newest = Number(figure.dataset.last);
      new MutationObserver(() => {
        const last = Number(figure.dataset.last);
        if (last < newest) {
          globalThis.jumpsBack.push({ metric: figure.dataset.metric, from: newest, to: last });
        }
        newest = Math.max(newest, last);
      }).observe(figure, { attributes: true, attributeFilter: ["data-last"] });
    }
  });
}
