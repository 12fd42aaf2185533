// Fetches content from the example `bulk` in headless Chromium, sized and in chunks, reading the
// stream as it comes, and sends it back; the server compares. Up it goes with its length only: a
// browser sends a stream over HTTP/2 alone, which is looked at too.
// Usage: node bulk_page.mjs URL [MIB]; needs playwright-core and a Chromium.
import { chromium } from "playwright-core";

const [url, mib = "8"] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
await page.goto(url);
const said = await page.evaluate(async (len) => {
  async function fetched(target) {
    const answer = await fetch(target);
    const bytes = new Uint8Array(len);
    let at = 0;
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value, at);
      at += value.length;
    }
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return { at, bytes, isSized: answer.headers.has("Content-Length"),
      digest: new Uint8Array(digest).toHex?.() ?? new Uint8Array(digest).toString() };
  }
  const sized = await fetched(`/${len}`), chunked = await fetched(`/${len}/chunked`);
  const up = await fetch("/", { method: "POST", body: new Blob([chunked.bytes]) });
  const isStreamed = await fetch("/", {
    method: "POST", duplex: "half", body: new Blob(["streamed"]).stream() })
    .then(() => true, () => false);
  return { lengths: [sized.at, chunked.at], framings: [sized.isSized, chunked.isSized],
    digests: [sized.digest, chunked.digest], up: (await up.text()).trim(), isStreamed };
}, Number(mib) * 2 ** 20);
await browser.close();

const len = Number(mib) * 2 ** 20;
const isGood = said.lengths.every((it) => it === len) && said.digests[0] === said.digests[1]
  && said.framings[0] && !said.framings[1] && said.up === `${len} bytes, equal`;
if (!isGood) {
  console.error(JSON.stringify(said));
  process.exit(1);
}
const streams = said.isStreamed ? "and streams up too" : "a stream up is refused by the browser";
console.log(`${mib} MiB down, sized and chunked, and up, sized: equal; ${streams}`);
