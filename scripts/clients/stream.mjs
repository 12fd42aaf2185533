// Streams content up to an echoing server with undici and back, sized and chunked; compares
// SHA-256. Usage: node stream.mjs URL [MIB]; needs undici.
import { createHash } from "node:crypto";
import { request } from "undici";

const [url, mib = "8"] = process.argv.slice(2);
const PIECE = Buffer.from(Array.from({ length: 65536 }, (_, index) => index % 251));

// Sends so many pieces; tells whether the same came back.
async function echo(count, isSized) {
  const sent = createHash("sha256"), received = createHash("sha256");
  async function* pieces() {
    for (let index = 0; index < count; index += 1) {
      sent.update(PIECE);
      yield PIECE;
    }
  }
  const headers = isSized ? { "content-length": String(count * PIECE.length) } : {};
  const answer = await request(url, { method: "POST", body: pieces(), headers });
  for await (const piece of answer.body) received.update(piece);
  return answer.statusCode === 200 && sent.digest("hex") === received.digest("hex");
}

for (const isSized of [true, false]) {
  if (!(await echo(Number(mib) * 16, isSized))) {
    console.error(`sized ${isSized}: what came back is not what was sent`);
    process.exit(1);
  }
}
console.log(`${mib} MiB up and down, sized and chunked: equal`);
process.exit(0);
