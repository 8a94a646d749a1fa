// Opens Home, Jobs and a job of the jobrt at JOBRT_URL, for tools/bench-dashboard, and prints for each after how long it was
// shown, and how long its main thread was held up at most: the longest gap between two frames, and the longest task. Exit
// status 1 when one misses its aim. No test runs it.
import { browserPath, World } from "./world.mjs";

const url = process.env.JOBRT_URL;
if (!browserPath) {
    console.log("skipped: no Chromium");
    process.exit(77);
}

/** A page that takes longer to show something, or to answer a key, is slow; one that is busy for longer does not answer. */
const aims = { shown_ms: 1000, key_ms: 100, longest_task_ms: 200 };
let missed = 0;

/** Runs in the page, before its own scripts. */
function watch() {
    const seen = (window.seen = { frame: 0, task: 0, tasks: 0 });
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            seen.task = Math.max(seen.task, entry.duration);
            ++seen.tasks;
        }
    }).observe({ entryTypes: ["longtask"] });
    let last = performance.now();
    const frame = (now) => {
        seen.frame = Math.max(seen.frame, now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}

/** Loads the page anew: another place on it alone would leave the old rows for a while. */
async function open(page, place) {
    await page.goto("about:blank");
    await page.goto(`${url}/#/${place}`);
}

/** After so many keys, or when nothing was pressed, what `ready` waits for is there. */
async function look(page, name, ready, seconds, keys = 0) {
    const begin = Date.now();
    await ready();
    const took = Date.now() - begin;
    await page.waitForTimeout(seconds * 1000);
    const seen = await page.evaluate(() => {
        const { frame, task, tasks } = window.seen;
        Object.assign(window.seen, { frame: 0, task: 0, tasks: 0 });
        return { frame, task, tasks };
    });
    const round = (ms) => Math.round(ms * 10) / 10;
    const figures = { ...(keys ? { key_ms: round(took / keys) } : { shown_ms: took }), longest_frame_ms: round(seen.frame), longest_task_ms: round(seen.task), tasks_over_50_ms: seen.tasks };
    const over = Object.keys(aims).filter((figure) => figures[figure] >= aims[figure]);
    missed += over.length;
    console.log(JSON.stringify({ figure: `page: ${name}`, load: process.env.JOBRT_LOAD, ...figures, n: seconds, unit: "s", aims, missed: over }));
}

const world = new World();
try {
    const page = await world.browse();
    await page.addInitScript(watch);
    const row = () => page.locator("a.job-link").first().waitFor();
    await look(page, "Home", async () => {
        await open(page, "");
        await page.locator("section[aria-label='Newest jobs'] li a").first().waitFor();
    }, 5);
    await look(page, "Jobs", async () => {
        await open(page, "jobs");
        await row();
    }, 5);
    await look(page, "Jobs, 500 a page", async () => {
        await open(page, "jobs?limit=500");
        await row();
    }, 5);
    await look(page, "Jobs, 500 a page, a key", async () => {
        for (let i = 0; i < 40; ++i) await page.keyboard.press("j");
        await page.locator("tr.is-here").waitFor();
    }, 1, 40);
    await look(page, "Jobs, filtered by state and tag", async () => {
        await open(page, "jobs?status=failed&tag=import");
        await row();
    }, 5);
    await look(page, "Jobs, with text that nothing has", async () => {
        await open(page, "jobs?q=nowhere+at+all");
        await page.getByText("No match so far").waitFor();
    }, 5);
    await look(page, "a job", async () => {
        await open(page, "jobs?status=completed");
        await row();
        await page.locator("a.job-link").first().click();
        await page.locator(".job-head h1").waitFor();
    }, 5);
} finally {
    await world.close();
}
process.exit(missed ? 1 : 0);
