// Sends content up to an echoing server with fetch in headless Chromium and back; compares SHA-256.
// Only sized: over HTTP/1.1 a browser sends nothing in chunks. Usage: node stream_page.mjs URL
// [MIB]; needs playwright-core and a Chromium.
import { chromium } from "playwright-core";

const [url, mib = "8"] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
await page.goto(url);
const isEqual = await page.evaluate(async (len) => {
  const sent = new Uint8Array(len).map((_, index) => index % 251);
  const answer = await fetch("/", { method: "POST", body: new Blob([sent]) });
  const received = await answer.arrayBuffer();
  const [one, other] = await Promise.all(
    [sent, received].map((bytes) => crypto.subtle.digest("SHA-256", bytes)));
  const hex = (digest) => new Uint8Array(digest).toString();
  return answer.status === 200 && hex(one) === hex(other);
}, Number(mib) * 2 ** 20);
await browser.close();
if (!isEqual) {
  console.error("what came back is not what was sent");
  process.exit(1);
}
console.log(`${mib} MiB up and down, sized: equal`);
