// Opens Home, Jobs and a job of the jobrt at JOBRT_URL, for tools/bench-dashboard, and prints for each how long its main
// thread was held up at most: the longest gap between two frames, and the longest task. No test runs it.
import { browserPath, World } from "./world.mjs";

const url = process.env.JOBRT_URL;
if (!browserPath) {
    console.log("skipped: no Chromium");
    process.exit(77);
}

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

async function look(page, name, ready, seconds) {
    const begin = Date.now();
    await ready();
    const shown = Date.now() - begin;
    await page.waitForTimeout(seconds * 1000);
    const seen = await page.evaluate(() => {
        const { frame, task, tasks } = window.seen;
        Object.assign(window.seen, { frame: 0, task: 0, tasks: 0 });
        return { frame, task, tasks };
    });
    const round = (ms) => Math.round(ms * 10) / 10;
    console.log(JSON.stringify({ figure: `page: ${name}`, load: process.env.JOBRT_LOAD, shown_ms: shown, longest_frame_ms: round(seen.frame), longest_task_ms: round(seen.task), tasks_over_50_ms: seen.tasks, n: seconds, unit: "s" }));
}

const world = new World();
try {
    const page = await world.browse();
    await page.addInitScript(watch);
    const row = () => page.locator("a.job-link").first().waitFor();
    await look(page, "Home", async () => {
        await open(page, "");
        await row();
    }, 5);
    await look(page, "Jobs", async () => {
        await open(page, "jobs");
        await row();
    }, 5);
    await look(page, "Jobs, 500 a page", async () => {
        await open(page, "jobs?limit=500");
        await row();
    }, 5);
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
        await page.locator("h1").first().waitFor();
    }, 5);
} finally {
    await world.close();
}
