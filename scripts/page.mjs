// Looks at the live page of app-1mrc in headless Chromium while events come in: reads its numbers,
// clicks its buttons, looks for errors in the console, and takes pictures.
// Usage: node page.mjs URL DIRECTORY; needs playwright-core and a Chromium (see page.sh).
import { chromium } from "playwright-core";
import assert from "node:assert/strict";

const [url, pictures] = process.argv.slice(2);
const DESKTOP = { width: 1280, height: 720 }, PHONE = { width: 375, height: 812 };
const VIEWS = [
  { name: "desktop-light", colorScheme: "light", viewport: DESKTOP },
  { name: "desktop-dark", colorScheme: "dark", viewport: DESKTOP },
  { name: "phone-light", colorScheme: "light", viewport: PHONE, isMobile: true },
  { name: "phone-dark", colorScheme: "dark", viewport: PHONE, isMobile: true },
];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const faults = [];

async function open(view) {
  const context = await browser.newContext({ ...view, deviceScaleFactor: 2 });
  const page = await context.newPage();
  page.on("console", (line) => {
    if (line.type() === "error") faults.push(`${view.name}: ${line.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${view.name}: ${error}`));
  page.on("request", (request) => {
    const own = request.url().startsWith(url) || request.url().startsWith("data:");
    if (!own) faults.push(`${view.name}: asks for ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector('#state[data-is="live"]');
  return page;
}

const text = (page, id) => page.textContent(`#${id}`);
const count = async (page, id) => Number((await text(page, id)).replaceAll(",", ""));
const post = (path, body) => fetch(url + path, { method: "POST", body });
const stats = async () => (await fetch(`${url}/stats`)).json();

/** Waits until the page shows this. */
async function shows(page, id, expected) {
  const is = ([id, expected]) => document.getElementById(id).textContent === expected;
  await page.waitForFunction(is, [id, expected], { timeout: 15000 });
}

const rest = await open(VIEWS[0]);
await post("/reset");
await shows(rest, "events", "0");
await shows(rest, "avg", "0");
await post("/event", '{"userId":"a","value":1e16}');
await post("/event", '{"userId":"b","value":-0.25}');
await shows(rest, "events", "2");
await shows(rest, "users", "2");
await shows(rest, "sum", "1.000000e+16");
await post("/event", '{"userId":"a","value":-1e16}');
await shows(rest, "sum", "-0.25");
await post("/event", "[]");
await shows(rest, "rejects", "Refused bodies 1");
assert.equal((await stats()).totalRequests, 3);
console.log("figures of single events are shown");

await rest.click("#pause");
assert.equal(await text(rest, "state"), "paused");
await post("/event", '{"userId":"c","value":1}');
await rest.waitForTimeout(2500); // two events would have come
assert.equal(await count(rest, "events"), 3);
await rest.click("#pause");
await shows(rest, "events", "4");
console.log("a pause holds the figures and ends");

let asked = 0;
rest.on("request", () => asked++);
/** How many streams the server has open. */
async function listeners() {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^app_1mrc_live_listeners (\d+)$/m.exec(metrics)[1]);
}
/** Waits until so many are open: one that was closed ends with the second event after that. */
async function listened(count) {
  for (let tries = 0; (await listeners()) !== count; tries++) {
    assert.ok(tries < 100, `streams come to ${count}`);
    await rest.waitForTimeout(100);
  }
}
/** Lets the page believe that its tab is in the background, or not. */
const hide = (hidden) => rest.evaluate((hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);
asked = 0;
await hide(true);
await listened(0);
await rest.waitForTimeout(3000); // the retry would have come
assert.deepEqual([asked, await listeners()], [0, 0], "a page that nobody sees asks for nothing");
await hide(false);
await post("/event", '{"userId":"d","value":1}');
await shows(rest, "events", "5");
assert.deepEqual([asked, await listeners()], [1, 1], "one stream, and nothing else");
console.log("a page that nobody sees asks for nothing");

// From here on there is load; page.sh is told so by this line.
console.log("ready for load");
for (let tries = 0; (await count(rest, "events")) < 200_000; tries++) {
  assert.ok(tries < 240, "the load has come");
  await rest.waitForTimeout(500);
}
await rest.waitForTimeout(6000); // some seconds of a timeline
for (const view of VIEWS) {
  const page = await open(view);
  const first = await count(page, "events");
  await page.waitForTimeout(1500);
  assert.ok((await count(page, "events")) > first, `${view.name}: the figures move`);
  const rows = await page.locator("#shards tr").count();
  assert.ok(rows >= 1);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.ok(!wide, `${view.name}: nothing is cut off at the side`);
  // A long figure is smaller than the others, so each is held against its own line.
  const broken = await page.locator("dd").evaluateAll((all) =>
    all.filter((one) => one.clientHeight >= 1.5 * parseFloat(getComputedStyle(one).lineHeight))
      .map((one) => one.textContent));
  assert.deepEqual(broken, [], `${view.name}: no figure is broken into lines`);
  await page.screenshot({ path: `${pictures}/${view.name}.png`, fullPage: true });
  await page.click("#split");
  const edges = await page.locator("#chart .edge").count();
  assert.equal(edges, rows, `${view.name}: one line per shard`);
  await page.screenshot({ path: `${pictures}/${view.name}-shards.png`, fullPage: true });
  await page.context().close();
}
console.log("all widths and both colour schemes show a run");
assert.deepEqual(faults, []);
await browser.close();
console.log("ok: no error in the console, no foreign request");
