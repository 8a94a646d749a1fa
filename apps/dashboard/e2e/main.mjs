// The dashboard in a real browser, against real jobrt processes. `node e2e/main.mjs [--group NAME] [WORD]` runs the cases
// of that group, or of all, whose names hold the word.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { browserPath, picture, pictures, World } from "./world.mjs";

const skip = (why) => {
    console.log(`skipped: ${why}`);
    process.exit(77);
};
if (!browserPath) skip("there is no Chromium to drive");
try {
    execFileSync("ffmpeg", ["-version"], { stdio: "ignore" });
} catch {
    skip("there is no ffmpeg to make a clip with");
}
if (!process.env.JOBRT_PROGRAM) throw new Error("JOBRT_PROGRAM names no program");

// Which run side by side as entries of their own; the cases of "measured" want the machine for themselves.
const groups = {
    stores: ["stores", "queues", "streams"],
    screens: ["lists", "panel", "safety", "charts", "copying", "opened", "looks", "screens"],
    measured: ["live"],
};
const words = process.argv.slice(2);
const group = words[0] === "--group" ? words.splice(0, 2)[1] : undefined;
if (group !== undefined && !groups[group]) throw new Error(`there is no group ${group}, but ${Object.keys(groups).join(", ")}`);
const cases = [];
for (const file of group ? groups[group] : Object.values(groups).flat()) cases.push(...(await import(`./${file}.mjs`)).cases);

const word = words[0] ?? "";
if (!word) rmSync(pictures, { recursive: true, force: true }); // Of an earlier run.
let failed = 0;
let ran = 0;
for (const { name, run, on } of cases) {
    if (!name.includes(word)) continue;
    ++ran;
    const begin = Date.now();
    let world;
    try {
        world = new World(await on?.());
        await run(world);
        for (const page of world.pages) {
            if (page.said.errors.length) throw new Error(`the page threw: ${page.said.errors.join("; ")}`);
            if (page.said.policy.length) throw new Error(`the policy was broken: ${page.said.policy.join("; ")}`);
        }
        console.log(`ok      ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
        ++failed;
        console.log(`FAILED  ${name}: ${error.stack}`);
        for (const page of world?.pages ?? []) {
            console.log(`        the page at ${page.url()} said: ${JSON.stringify(page.said)}`);
            await picture(page, `failed-${ran}`).catch(() => undefined);
        }
        for (const program of world?.programs ?? []) console.log(program.err.split("\n").slice(-8).join("\n"));
    }
    await world?.close();
}
console.log(`counts: ${ran} cases in a browser; screenshots are in ${pictures}`);
process.exit(failed || ran === 0 ? 1 : 0);
