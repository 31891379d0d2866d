// Lines that were written to take over the page. Each is shown as text, in a form that hides nothing. The caller writes
// the next part of the corpus at each "ready"; `given.parts` are files of what is to be seen.

import { readFileSync } from "node:fs";
import { enter, eventually, expect, expectNoFaults, given, keep, live, miss, origin, step, visit } from "./visit.mjs";

// Elements that a page of lines has no use for: one of them there was made of a line.
const FOREIGN = "script, img, iframe, object, embed, link, style, form, input, base, meta, svg, math, video, audio, template";

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  await page.goto(`${origin}/devices/${given.device}?tab=logs`);
  await live(page);
  for (const [number, part] of given.parts.entries()) {
    const expected = JSON.parse(readFileSync(part, "utf8"));
    step(`ready ${number}`);
    await eventually(`part ${number} of the corpus is shown, line by line`, async () => {
      const shown = (await lines(page)).slice(-expected.length);
      const wrong = expected.findIndex((line, place) => shown[place] !== line);
      return wrong < 0 || miss({ line: wrong, expected: expected[wrong]?.slice(0, 300), shown: shown[wrong]?.slice(0, 300), lines: shown.length });
    });
  }
  await keep(page, "hostile-lines");
  await expectHarmless(context, page, "#log-tail");
  // Once more, as the server writes them into the page.
  await page.reload();
  await live(page);
  await eventually("the lines are there after a reload", async () => (await lines(page)).length > 0);
  await expectHarmless(context, page, "#log-tail");

  for (const path of ["/devices", ...given.names.map((name) => `/devices/${encodeURIComponent(name)}`)]) {
    await page.goto(origin + path);
    await live(page);
    await expectHarmless(context, page, "main");
  }
  for (const name of given.names) {
    await page.goto(`${origin}/devices/${encodeURIComponent(name)}?tab=alerts`);
    await live(page);
    // By itself: nobody loads the page again.
    await eventually(`an alert of ${name} is shown with its note`, async () => {
      const found = await page.evaluate(() => [...document.querySelectorAll("#alerts [data-alert]")].map((row) => row.textContent));
      return found.some((row) => row.includes("<img src=x onerror=globalThis.fired=1>")) || miss(found.slice(0, 3));
    });
    const tab = await page.evaluate(() => document.querySelector(".hw-tabs [aria-current]").textContent);
    expect(`the tab of ${name} counts what fires`, /^Alerts \(\d+\)$/.test(tab), tab);
    await expectHarmless(context, page, "main");
    await keep(page, "hostile-alerts", { full: true });
  }
});

/** The lines that are shown, oldest first. */
function lines(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll("#log-tail .hw-line")].map((line) => line.querySelector(".hw-body").textContent));
}

async function expectHarmless(context, page, where) {
  const url = page.url();
  const taken = await page.evaluate(() => ({ fired: globalThis.fired, title: document.title }));
  expect(`${url}: no script of a stranger ran`, taken.fired === undefined && taken.title !== "fired", taken);
  const foreign = await page.evaluate(([where, foreign]) => {
    const found = [...document.querySelector(where).querySelectorAll(foreign)];
    const handlers = [...document.querySelectorAll("*")].filter((element) =>
      [...element.attributes].some(({ name }) => name.startsWith("on")));
    return [...found, ...handlers].map((element) => element.outerHTML.slice(0, 200));
  }, [where, where === "main" ? "iframe, object, embed, base, meta, math, video, audio" : FOREIGN]);
  expect(`${url}: no element was made of a stranger's text`, foreign.length === 0, foreign);
  const hidden = await page.evaluate(() => {
    // Controls but for the line ends of the page itself, marks of direction, and what takes no room.
    const marks = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;
    return [...document.querySelectorAll("body, body *")]
      .filter((element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && marks.test(node.data)))
      .map((element) => escape(element.outerHTML.slice(0, 200)));
  });
  expect(`${url}: no text turns around or hides`, hidden.length === 0, hidden);
  const asked = context.requested.filter((url) => url.includes("fired"));
  expect(`${url}: no request was made by a stranger's text`, asked.length === 0, asked);
  expectNoFaults(context, url);
}
