// What happens to the pages after Vite has built them: icons in the page, compressed files beside the plain ones, and what
// all of it may weigh.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { type Plugin, build } from "vite";

const KIB = 1024;

/** What a first view of the dashboard may weigh, as gzip -9 has it: the page, its scripts, its styles. */
const FIRST_VIEW_BYTES = 110 * KIB;

/** What all files in the binary may weigh, as they are. */
const ALL_BYTES = 1536 * KIB;

/** What the wire client may weigh: the stock one is five times that. */
const WIRE_BYTES = 3 * KIB;

const gzip = (bytes: Uint8Array) => gzipSync(bytes, { level: 9 });

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Puts the icons into the page, where `<use href="#i-…">` finds them without a request. */
export function sprite(file: string): Plugin {
  return {
    name: "sprite",
    transformIndexHtml(html) {
      const symbols = readFileSync(file, "utf8")
        .replace(/^<svg[^>]*>|<\/svg>\s*$/g, "")
        .replace(/\n\s*/g, "");
      return html.replace("<!-- icons -->", () => `<svg class="sprite" aria-hidden="true">${symbols}</svg>`);
    },
  };
}

/** Writes each file in Brotli and gzip beside itself, where that is smaller: the server compresses nothing. */
export function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle() {
      for (const file of filesIn(folder)) {
        const plain = readFileSync(file);
        const brotli = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
        for (const [ending, bytes] of [["br", brotli], ["gz", gzip(plain)]] as const) {
          if (bytes.length < plain.length) writeFileSync(`${file}.${ending}`, bytes);
        }
      }
    },
  };
}

/** What the wire client weighs by itself. */
async function wire(entry: string): Promise<number> {
  const output = await build({
    configFile: false,
    logLevel: "silent",
    build: { write: false, minify: true, rollupOptions: { input: entry, preserveEntrySignatures: "strict" } },
  });
  const code = [output].flat().flatMap((made) => ("output" in made ? made.output : []));
  return code.reduce((sum, chunk) => sum + (chunk.type === "chunk" ? gzip(Buffer.from(chunk.code)).length : 0), 0);
}

/** Says what the pages weigh, and fails where that is more than they may. */
export function budgets(client: string): Plugin {
  let folder = "";
  return {
    name: "budgets",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    async closeBundle() {
      const all = filesIn(folder);
      const plain = all.filter((file) => !/\.(br|gz)$/.test(file));
      const weigh = (files: string[]) => files.reduce((sum, file) => sum + gzip(readFileSync(file)).length, 0);
      const page = readFileSync(join(folder, "index.html"), "utf8");
      const first = plain.filter((file) => file.endsWith("index.html") || page.includes(file.slice(folder.length + 1)));
      const sizes = [
        ["first view, gzip -9", weigh(first), FIRST_VIEW_BYTES],
        ["of it the wire client", await wire(client), WIRE_BYTES],
        ["all files, with their compressed forms", all.reduce((sum, file) => sum + statSync(file).size, 0), ALL_BYTES],
      ] as const;
      for (const [what, bytes, most] of sizes) {
        console.log(`${(bytes / KIB).toFixed(1).padStart(7)} KiB  ${what}, of ${most / KIB}`);
        if (bytes > most) throw new Error(`${what}: ${bytes} bytes, and at most ${most}`);
      }
    },
  };
}
