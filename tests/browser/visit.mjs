// A visit to the console in a real browser. It hears of everything that goes wrong on any of its pages: a script's
// error, a word in the browser's console, a breach of the content security policy, a dialog, a request to elsewhere.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

// QUIC and the services behind a browser would talk to the world, and there is no graphics card.
const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Longest wait for anything that is expected. Generous: tests share two processors with builds. */
export const DEADLINE_MS = 60_000;
const LOOK_INTERVAL_MS = 100;

/** What the caller says: `links` (one per login), `screenshots` (a folder), and what else a scenario needs. */
export const given = JSON.parse(process.argv[2]);
export const origin = new URL(given.links[0]).origin;

/** Runs a scenario in a fresh browser, and ends the program: with 0 if all that it expects came true. */
export async function visit(scenario) {
  mkdirSync(given.screenshots, { recursive: true });
  // The sandbox of Chromium refuses to run as root.
  const flags = process.getuid() === 0 ? [...FLAGS, "--no-sandbox"] : FLAGS;
  const browser = await chromium.launch({ executablePath: given.chromium, headless: true, args: flags });
  let failure;
  try {
    await scenario(browser);
  } catch (error) {
    failure = error;
    await picture(browser);
  }
  await browser.close().catch(() => {});
  if (failure) {
    console.error(failure instanceof Unmet ? `failed: ${failure.message}` : failure);
  }
  process.exit(failure ? 1 : 0);
}

/** What each page shows at the moment of a failure. */
async function picture(browser) {
  const name = process.argv[1].split("/").pop().replace(".mjs", "");
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const [number, page] of pages.slice(0, 4).entries()) {
    const path = join(given.screenshots, `failed-${name}-${number}.png`);
    await page.screenshot({ path, timeout: 5_000 }).catch(() => {});
    console.error(`at ${page.url()}, see ${path}`);
  }
}

/** Something that was expected and is not so. */
class Unmet extends Error {}

/** That something holds; `found` is shown where it does not. */
export function expect(what, holds, found) {
  if (!holds) {
    throw new Unmet(found === undefined ? what : `${what}\nfound: ${shown(found)}`);
  }
}

/**
 * Waits until `look` returns something true, and returns that. What it returned last is shown where it never does:
 * a look may return `miss(found)` to say what there was instead.
 */
export async function eventually(what, look, deadlineMs = DEADLINE_MS) {
  const late = Date.now() + deadlineMs;
  let last;
  while (Date.now() < late) {
    // A page that loads anew in the middle of a look has not shown yet what it shows.
    last = await look().catch((error) => (/context was destroyed/.test(error.message) ? miss("the page loads") : Promise.reject(error)));
    if (last && !(last instanceof Miss)) {
      return last;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
  }
  throw new Unmet(`${what}, within ${deadlineMs / 1000} s\nfound: ${shown(last instanceof Miss ? last.found : last)}`);
}

class Miss {
  constructor(found) {
    this.found = found;
  }
}

export const miss = (found) => new Miss(found);

const shown = (found) => (typeof found === "string" ? found : JSON.stringify(found, null, 1));

/** Tells the caller how far the scenario is: the caller waits for this line before it kills, starts or writes. */
export const step = (name) => console.log(`step: ${name}`);

/** A browser window of a size and a theme, without a session. Its `faults` is what went wrong in it so far. */
export async function open(browser, { width = 1440, theme = "light" } = {}) {
  const viewport = { width, height: width < 768 ? 844 : 900 };
  const context = await browser.newContext({ viewport, colorScheme: theme, reducedMotion: "reduce" });
  const faults = [];
  context.faults = faults;
  context.requested = [];
  context.on("request", (request) => {
    const url = new URL(request.url());
    context.requested.push(request.url());
    if (url.origin !== origin && !["data:", "blob:"].includes(url.protocol)) {
      faults.push(`request to elsewhere: ${request.url()}`);
    }
  });
  context.on("weberror", (error) => faults.push(`script error: ${error.error().stack}`));
  context.on("console", (message) => {
    if (message.type() === "error") {
      faults.push(`console error at ${message.page()?.url()}: ${message.text()}`);
    }
  });
  context.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`content security policy: ${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`);
    });
  });
  context.setDefaultTimeout(DEADLINE_MS);
  return context;
}

/** A window with a session: it follows the one-time link number `link`. */
export async function enter(browser, { link = 0, ...look } = {}) {
  const context = await open(browser, look);
  const page = await context.newPage();
  await page.goto(given.links[link]);
  expect("the one-time link leads into the console", !page.url().includes("/login"), page.url());
  return { context, page };
}

/** A window like another one, in the same session. */
export async function another(browser, context, look) {
  const window = await open(browser, look);
  await window.addCookies(await context.cookies());
  return { context: window, page: await window.newPage() };
}

/** That nothing went wrong in a window. */
export function expectNoFaults(context, where) {
  expect(`${where}: no script error, no breach of the policy, no dialog, no request to elsewhere`,
    context.faults.length === 0, context.faults);
}

/** Keeps a picture for people to look at. */
export async function keep(page, name, { full = false } = {}) {
  await page.screenshot({ path: join(given.screenshots, `${name}.png`), fullPage: full });
}

/** Waits until a page says that it is live. */
export function live(page, deadlineMs) {
  return pill(page, "live", deadlineMs);
}

/** Waits until the pill in the header has a state. */
export function pill(page, state, deadlineMs) {
  return eventually(`the pill says ${state} at ${page.url()}`, async () => {
    const found = await page.evaluate(() => document.querySelector("#live-pill")?.dataset.state ?? "no pill");
    return found === state || miss(found);
  }, deadlineMs);
}

/** The charts of a page by metric: points drawn, and the newest point's time. */
export function charts(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll("figure.hw-chart")].map((figure) => ({
      metric: figure.dataset.metric,
      points: Number(figure.dataset.points ?? 0),
      last: Number(figure.dataset.last ?? 0),
    })));
}

/** The latest values of a page, by metric, as they are shown. */
export function values(page) {
  return page.evaluate(() =>
    Object.fromEntries([...document.querySelectorAll("[data-value]")].map((tile) =>
      [tile.dataset.value, tile.textContent.trim()])));
}
