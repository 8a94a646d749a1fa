// axe looks at what is there: here, at what is open only while somebody uses it. And a control: it finds what is planted.
import assert from "node:assert/strict";
import { hour } from "./charts.mjs";
import { axe, call, faults, picture, submit, waitFor } from "./world.mjs";

/** Words in nearly the colour of their ground, by the page's own style sheet: its policy lets nobody add one. */
const fade = (page, selector) =>
    page.evaluate((where) => {
        const [sheet] = document.styleSheets;
        sheet.insertRule(`${where} { color: color-mix(in srgb, currentcolor 30%, var(--card)) !important; }`, sheet.cssRules.length);
    }, selector);
const restore = (page) => page.evaluate(() => document.styleSheets[0].deleteRule(document.styleSheets[0].cssRules.length - 1));

/** Nothing is wrong; and where its words can hardly be read, that is found. */
async function look(page, what, selector) {
    await axe(page, what);
    const planted = page.locator(selector).first();
    await planted.waitFor();
    const before = await planted.evaluate((one) => getComputedStyle(one).color);
    await fade(page, selector);
    assert.notEqual(await planted.evaluate((one) => getComputedStyle(one).color), before, `${what}: nothing was planted`);
    const found = await faults(page);
    assert.ok(found.length > 0 && found.every((one) => one.startsWith("color-contrast")), `${what}, with a contrast that is too low at ${selector}: ${JSON.stringify(found)}`);
    await restore(page);
}

const screens = [1280, 390].flatMap((width) => ["light", "dark"].map((theme) => ({ width, theme, name: `${theme}-${width}` })));
const browse = (world, { width, theme }) => world.browse({ viewport: { width, height: 900 }, colorScheme: theme });

async function tables(world) {
    const { url } = await world.start();
    for (const screen of screens) {
        const page = await browse(world, screen);
        await page.route(/\/api\/stats/, (route) => route.fulfill({ json: hour() }));
        await page.goto(url);
        for (const title of ["Throughput, jobs a minute", "Wait time", "Run time", "Depth, jobs"]) {
            const chart = page.locator(`section[aria-label="${title}"]`);
            await chart.getByText("as a table").click();
            await chart.locator("tbody tr").nth(59).waitFor({ state: "attached" });
            // Not only what is above the edge of its box.
            await chart.locator(".chart-table").evaluate((box) => box.scrollTo(0, box.scrollHeight / 2));
        }
        await look(page, `open tables, ${screen.name}`, ".chart-table td");
        await picture(page, `opened-tables-${screen.name}`);
        await world.leave(page);
    }
}

async function overlays(world) {
    const { url } = await world.start();
    const failed = await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 5 }, maxAttempts: 1, tags: ["night"] });
    for (let i = 0; i < 3; ++i) await submit(url, { kind: "demo.echo", payload: { i }, tags: ["night"], delayMs: 3_600_000 });
    await waitFor(url, failed, ["failed"]);
    for (const screen of screens) {
        const page = await browse(world, screen);
        await page.addInitScript(() => {
            // What says that something went wrong goes after a while; here it is looked at, however long that takes.
            const usual = window.setTimeout.bind(window);
            window.setTimeout = (call, wait, ...more) => (wait === 15_000 ? 0 : usual(call, wait, ...more));
        });
        const dialog = page.getByRole("dialog");
        const shows = async (what, selector) => {
            await look(page, `${what}, ${screen.name}`, selector);
            await picture(page, `opened-${what.replaceAll(" ", "-")}-${screen.name}`);
        };
        await page.goto(`${url}/#/jobs?tag=night&limit=50`);
        await page.locator("table.jobs tbody tr").nth(3).waitFor();
        await page.keyboard.press("?");
        await dialog.getByRole("heading", { name: "Keys" }).waitFor();
        await shows("keys", "dialog td");
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "detached" });
        await page.getByLabel("Select all on this page").check();
        await shows("selection", ".selection .quiet");
        await page.getByRole("button", { name: "Delete all…" }).click();
        await dialog.getByText("Delete all 4 matching jobs?").waitFor();
        await shows("question", "dialog p");
        await dialog.getByRole("button", { name: "Go back" }).click();
        // A note that something went well, and one that it did not; the panel with a filter that is set, paused, as it came.
        await page.getByRole("button", { name: "Retry all…" }).click();
        await page.route(/\/api\/jobs\/bulk/, (route) => route.fulfill({ status: 503, json: { ok: false, code: "STORE_UNAVAILABLE", error: "The store does not answer" } }));
        await dialog.getByRole("button", { name: "Retry 4" }).click();
        await page.locator(".note.is-bad").waitFor();
        await shows("note that it went wrong", ".note.is-bad span");
        await page.unroute(/\/api\/jobs\/bulk/);
        await page.goto(`${url}/#/jobs/${failed}?p.job=${failed}&p.view=history&p.raw=1&p.level=error`);
        await page.locator(".panel .event").first().waitFor();
        await page.keyboard.press("p");
        await page.locator(".stream[data-state=paused]").waitFor();
        await page.locator("#panel-filter").focus();
        await shows("filter that is set", ".panel .stream .quiet");
        await page.goto(`${url}/#/jobs?kind=nothing.of.that&tag=night`);
        await page.getByText("No job matches these filters").waitFor();
        await page.locator("form.filters input").first().focus();
        await shows("filter that nothing matches", ".empty");
        await page.goto(`${url}/#/`);
        await page.getByLabel("Save a video").fill("no address");
        await page.keyboard.press("Enter");
        await page.locator("#submit-said").waitFor();
        await shows("address that is none", "#submit-said");
        await world.leave(page);
    }
    assert.equal((await call(url, "GET", "/api/jobs/counts?tag=night")).json.total, 4);
}

export const cases = [
    { name: "axe finds nothing in the charts' open tables, and what is planted there", run: tables },
    { name: "axe finds nothing in what is open for a while, and what is planted there", run: overlays },
];
