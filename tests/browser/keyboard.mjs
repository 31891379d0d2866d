// A walk with the keyboard alone: skip link, search, rows, tabs. What is typed survives what comes in meanwhile.

import { enter, eventually, expect, expectNoFaults, given, live, miss, origin, visit } from "./visit.mjs";

// Links, fields and buttons of a page with few devices.
const STOPS_MAX = 80;

const focused = (page) => page.evaluate(() => {
  const found = document.activeElement;
  return { tag: found.tagName, id: found.id, text: (found.textContent ?? "").trim().slice(0, 60), href: found.getAttribute("href") };
});

await visit(async (browser) => {
  const { context, page } = await enter(browser);
  await page.goto(`${origin}/devices`);
  await live(page);
  await skip(page);
  await search(page);
  await walkRows(page);
  await walkTabs(page);
  expectNoFaults(context, "a walk with the keyboard");
});

async function skip(page) {
  await page.keyboard.press("Tab");
  const first = await focused(page);
  expect("the first stop is the skip link", first.tag === "A" && first.href?.startsWith("#"), first);
  const visible = await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0);
  expect("the skip link is seen once it has the focus", visible);
  await page.keyboard.press("Enter");
  const target = await page.evaluate(() => document.activeElement.closest("main") !== null || location.hash !== "");
  expect("it leads into the page's content", target, await focused(page));
}

/** What is typed stays, with the focus and the caret, while rows and values come in. */
async function search(page) {
  await page.keyboard.press("/");
  const field = await focused(page);
  expect("/ leads into the search field", field.tag === "INPUT", field);
  await page.evaluate(() => {
    globalThis.field = document.activeElement;
    globalThis.changes = 0;
    new MutationObserver(() => (globalThis.changes += 1))
      .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await page.keyboard.type("jk/.edge", { delay: 60 });
  await page.keyboard.press("ArrowLeft");
  await eventually("updates come in meanwhile", async () => {
    const found = await page.evaluate(() => globalThis.changes);
    return found >= 5 || miss(found);
  });
  const found = await page.evaluate(() => ({
    same: globalThis.field === document.activeElement && globalThis.field.isConnected,
    value: document.activeElement.value,
    caret: document.activeElement.selectionStart,
  }));
  expect("typed text, focus and caret survive live updates",
    found.same && found.value === "jk/.edge" && found.caret === 7, found);
  await page.keyboard.press("Escape");
  await page.goto(`${origin}/devices`);
  await live(page);
}

async function walkRows(page) {
  await page.keyboard.press("j");
  await eventually("j marks the first row", () => rowUnderFocus(page, 0));
  await page.keyboard.press("j");
  await eventually("j again marks the second row", () => rowUnderFocus(page, 1));
  await page.keyboard.press("k");
  await eventually("k goes back", () => rowUnderFocus(page, 0));
  await page.keyboard.press("Enter");
  await eventually("Enter opens the row", async () => /\/devices\/./.test(page.url()) || miss(page.url()));
  await live(page);
}

async function rowUnderFocus(page, place) {
  const found = await page.evaluate(() => {
    const rows = [...document.querySelectorAll("table#devices tbody tr[data-device]")];
    return rows.findIndex((row) => row.contains(document.activeElement) || row.getAttribute("aria-selected") === "true");
  });
  return found === place || miss(found);
}

/** Tabs are links: each is reached by Tab and opened by Enter. */
async function walkTabs(page) {
  await page.goto(`${origin}/devices/${given.device}`);
  await live(page);
  for (const tab of ["logs", "ledger", "alerts", "overview"]) {
    await reach(page, `tab=${tab}`);
    await page.keyboard.press("Enter");
    await eventually(`the tab ${tab} opens`, async () => page.url().includes(`tab=${tab}`) || miss(page.url()));
    await live(page);
  }
}

async function reach(page, part) {
  await page.evaluate(() => document.activeElement.blur());
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await page.keyboard.press("Tab");
    const found = await focused(page);
    if (found.href?.includes(part)) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      expect(`the focus on ${part} is seen`, outline !== "none", outline);
      return;
    }
  }
  expect(`Tab reaches ${part}`, false, `not within ${STOPS_MAX} stops`);
}
