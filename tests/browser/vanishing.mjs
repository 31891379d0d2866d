// A device that vanishes stays on the page and is said to be gone. The caller kills its agent at "watching".

import { enter, eventually, expectNoFaults, given, live, miss, origin, step, visit } from "./visit.mjs";

// The session ends once the connection has been idle for its time-out; then the row is drawn anew.
const NOTICED_MS = 60_000;

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  await page.goto(`${origin}/devices`);
  await live(page);
  await eventually("the device is online", () => row(page, /online/i));
  step("watching");
  await eventually("the device is said to be stale or offline", () => row(page, /stale|offline/i), NOTICED_MS);
  await page.goto(`${origin}/devices/${given.device}`);
  await eventually("its own page says so as well", async () => {
    const text = await page.evaluate(() => document.querySelector("main").innerText);
    return /stale|offline/i.test(text) || miss(text.slice(0, 500));
  });
  expectNoFaults(context, "a device that vanished");
});

async function row(page, state) {
  const text = await page.evaluate((name) => {
    const rows = [...document.querySelectorAll("table#devices tbody tr[data-device]")];
    return rows.find((row) => row.innerText.includes(name))?.innerText ?? "no such row";
  }, given.device);
  return state.test(text) || miss(text);
}
