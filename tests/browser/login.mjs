// Who has no session sees the login page and nothing else; a one-time link is good for one time.

import { enter, expect, expectNoFaults, given, keep, open, origin, visit } from "./visit.mjs";

await visit(async (browser) => {
  const stranger = await open(browser);
  const page = await stranger.newPage();
  for (const path of ["/", "/devices", `/devices/${given.device}`, `/devices/${given.device}?tab=logs`]) {
    await page.goto(origin + path);
    expect(`${path} without a session leads to the login page`, new URL(page.url()).pathname === "/login", page.url());
    const text = await page.evaluate(() => document.body.innerText);
    expect(`${path} without a session names no device`, !text.includes(given.device), text);
  }
  expectNoFaults(stranger, "the login page");
  await keep(page, "login");
  const answer = await page.evaluate(async (path) => (await fetch(path, { redirect: "manual" })).type, "/live");
  expect("the stream is closed to strangers", answer !== "basic" || stranger.faults.length > 0, answer);

  const { context } = await enter(browser);
  const cookies = (await context.cookies()).map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  expect("the session's cookie is out of reach of scripts",
    cookies.some(({ httpOnly, sameSite }) => httpOnly && sameSite !== "None"), cookies);

  const late = await open(browser);
  const second = await late.newPage();
  await second.goto(given.links[0]);
  const landed = new URL(second.url());
  const text = await second.evaluate(() => document.body.innerText);
  expect("a used link is refused", (await late.cookies()).length === 0 && !text.includes(given.device), landed.href);
  expect("a used link says how to get another one", text.includes("headwater console"), text);
  await keep(second, "link-used");
});
