// pack.mjs write|check BUILT COMMITTED: the built page as it is committed and embedded. Scripts, styles and pictures are
// compressed; the page itself is small and stays as it is. No time and no name of a machine gets in. Different
// versions of Node compress differently, so `check` compares what comes out again.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

const [, , command, built, committed] = process.argv;
const mostBytes = 70_000;

function files(folder, below = folder) {
    return readdirSync(below).flatMap((name) => {
        const path = join(below, name);
        return statSync(path).isDirectory() ? files(folder, path) : [relative(folder, path)];
    });
}

const isPlain = (name) => /\.(html|txt)$/.test(name);

function packed(bytes) {
    const result = gzipSync(bytes, { level: 9 });
    result.fill(0, 4, 8); // When,
    result[9] = 255; // and on which system.
    return result;
}

const wanted = new Map(files(built).map((name) => [name, readFileSync(join(built, name))]));
let size = 0;
for (const [name, bytes] of wanted) if (!name.endsWith(".txt")) size += packed(bytes).length;
console.log(`the page takes ${size} bytes, compressed`);
if (size > mostBytes) {
    console.error(`pack.mjs: that is more than ${mostBytes}`);
    process.exit(1);
}

if (command === "write") {
    rmSync(committed, { recursive: true, force: true });
    for (const [name, bytes] of wanted) {
        const path = join(committed, isPlain(name) ? name : `${name}.gz`);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, isPlain(name) ? bytes : packed(bytes));
    }
    process.exit(0);
}

let differs = false;
const complain = (text) => {
    console.error(`pack.mjs: ${text}`);
    differs = true;
};
const there = new Map(
    files(committed).map((name) => {
        const bytes = readFileSync(join(committed, name));
        return name.endsWith(".gz") ? [name.slice(0, -3), gunzipSync(bytes)] : [name, bytes];
    }),
);
for (const [name, bytes] of wanted)
    if (!there.has(name)) complain(`${name} is built and not committed`);
    else if (!there.get(name).equals(bytes)) complain(`${name} is not what is committed`);
for (const name of there.keys()) if (!wanted.has(name)) complain(`${name} is committed and not built`);
if (differs) {
    console.error("pack.mjs: build the page and commit it: apps/dashboard/run write");
    process.exit(1);
}
console.log(`${wanted.size} files are as committed`);
