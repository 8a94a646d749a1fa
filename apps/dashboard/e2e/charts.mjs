import assert from "node:assert/strict";
import { contrast, eventually, picture } from "./world.mjs";

/** An hour of made-up statistics: the chart is what is tried here, not the server. */
export function hour() {
    const last = Math.floor(Date.now() / 60_000);
    const time = (minute) => new Date(minute * 60_000).toISOString();
    const minutes = Array.from({ length: 60 }, (_, i) => ({
        at: time(last - 59 + i),
        completed: 40 + Math.round(30 * Math.sin(i / 7)),
        failed: i % 9 === 0 ? 3 : 0,
        waitMs: { p50: 5 + i, p95: 40 + i, p99: 90 + 2 * i },
        runMs: i === 20 ? null : { p50: 900, p95: 2500, p99: 5200 },
        partial: i === 30,
        counts: { queued: Math.abs(30 - i) * 4, running: 4, scheduled: 7, completed: 0, failed: 0, canceled: 0 },
    }));
    const starts = [
        { at: time(last - 50), role: "worker", version: "0.1.0" },
        { at: time(last - 25), role: "worker", version: "0.1.1" },
    ];
    return { ok: true, now: new Date().toISOString(), since: time(last - 300), minutes, starts };
}

async function charts(world) {
    const { url } = await world.start();
    for (const theme of ["light", "dark"]) {
        const page = await world.browse({ colorScheme: theme, timezoneId: "Asia/Kathmandu", locale: "en-US" });
        const said = hour();
        await page.route(/\/api\/stats/, (route) => route.fulfill({ json: said }));
        await page.goto(url);
        const chart = page.locator('section[aria-label="Run time"]');
        await chart.locator("canvas").waitFor();

        // axe does not see into a canvas: the numbers of the axes against the card, by their pixels.
        const found = await eventually("the axes are drawn", () => chart.locator("canvas").evaluate((canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, 50, canvas.height);
            const pixels = [];
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) pixels.push([data[i], data[i + 1], data[i + 2]]);
            const ground = getComputedStyle(canvas.closest(".card")).backgroundColor.match(/\d+/g).map(Number);
            return pixels.length > 0 && { pixels, ground };
        }));
        await picture(page, `charts-${theme}`);
        const best = Math.max(0, ...found.pixels.map((pixel) => contrast(pixel, found.ground)));
        assert.ok(best >= 4.5, `the numbers of the axes have a contrast of ${best.toFixed(2)} in the ${theme} theme`);

        await chart.getByText("as a table").click();
        await eventually("the table has the rows", async () => (await chart.locator("tbody tr").count()) === 60);
        await chart.locator("td", { hasText: "5.2 s" }).first().waitFor();
        assert.equal(await chart.locator("td", { hasText: "–" }).count(), 3);
        assert.equal(await chart.locator("tbody th", { hasText: "partial" }).count(), 1);
        await chart.getByText("worker deployed, version 0.1.1").waitFor();
        // Its times are local, with UTC in the title: of the rows, of the starts, and of the plot as a whole.
        const { minutes, starts } = said;
        const utc = (at) => `${at.replace("T", " ").replace("Z", "")} UTC`;
        const titles = (place) => place.locator("time").evaluateAll((all) => all.map((one) => one.title));
        assert.deepEqual(await titles(chart.locator("tbody")), minutes.map((minute) => utc(minute.at)).reverse());
        assert.deepEqual(await titles(chart.locator("details p")), starts.map((start) => utc(start.at)));
        assert.equal(await chart.locator("tbody time").first().textContent(), new Intl.DateTimeFormat("en-US", { hour: "2-digit", minute: "2-digit", timeZone: "Asia/Kathmandu" }).format(new Date(minutes.at(-1).at)));
        assert.equal(await chart.locator(".chart").getAttribute("title"), `${utc(minutes[0].at)} to ${utc(minutes.at(-1).at)}`);
        await page.locator(".tile", { hasText: "ended a minute" }).waitFor();
        // A change of the theme is a change of the colours in the picture.
        const before = await chart.locator("canvas").evaluate((canvas) => canvas.toDataURL());
        await page.keyboard.press("t");
        await page.keyboard.press("t");
        if (theme === "dark") await page.keyboard.press("t");
        if (theme === "dark") await page.keyboard.press("t");
        await eventually("it is drawn anew", async () => (await chart.locator("canvas").evaluate((canvas) => canvas.toDataURL())) !== before);
    }
}

/** What a server says that has just been started: one minute, a job of which has run and one waits. */
function freshStart() {
    const all = hour();
    const last = all.minutes.at(-1);
    const only = { ...last, completed: 1, failed: 0, waitMs: { p50: 1, p95: 1, p99: 1 }, runMs: { p50: 2, p95: 2, p99: 2 }, counts: { ...last.counts, queued: 1, running: 0, scheduled: 0 } };
    return { ...all, since: only.at, minutes: [only], starts: [{ at: only.at, role: "worker", version: "0.1.0" }] };
}

async function fresh(world) {
    const { url } = await world.start();
    for (const width of [1280, 390]) {
        const page = await world.browse({ viewport: { width, height: 900 } });
        // The texts of a canvas, since it was last cleared.
        await page.addInitScript(() => {
            const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
            CanvasRenderingContext2D.prototype.clearRect = function (...all) {
                this.canvas.texts = [];
                return clearRect.apply(this, all);
            };
            CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
                const half = this.measureText(text).width / 2;
                this.canvas.texts.push({ text, x, from: x - half, to: x + half, below: this.textAlign === "center" });
                return fillText.call(this, text, x, y);
            };
        });
        await page.route(/\/api\/stats/, (route) => route.fulfill({ json: freshStart() }));
        await page.goto(url);
        for (const title of ["Throughput, jobs a minute", "Wait time", "Run time", "Depth, jobs"]) {
            const canvas = page.locator(`section[aria-label="${title}"] canvas`);
            const texts = await eventually(`${title} is drawn`, () => canvas.evaluate((one) => one.texts?.length > 0 && one.texts));
            for (const below of [true, false]) {
                const side = texts.filter((one) => one.below === below).map((one) => one.text);
                assert.ok(side.length >= 2 && new Set(side).size === side.length, `${title}, ${width} px: ${side}`);
            }
            const times = texts.filter((one) => one.below);
            for (let i = 1; i < times.length; ++i) assert.ok(times[i].from > times[i - 1].to, `${title}, ${width} px: ${times.map((one) => one.text)} overlap`);
            // The one value is a point: so many pixels of the line's colour.
            const drawn = await canvas.evaluate((one) => {
                const probe = document.createElement("span");
                probe.style.color = getComputedStyle(one.closest("section").querySelector(".swatch")).stroke;
                document.body.append(probe);
                const wanted = getComputedStyle(probe).color.match(/\d+/g).map(Number);
                probe.remove();
                const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
                let n = 0;
                for (let i = 0; i < data.length; i += 4) n += data[i + 3] > 200 && wanted.every((part, at) => Math.abs(data[i + at] - part) < 8);
                return n;
            });
            if (title === "Throughput, jobs a minute" || title === "Depth, jobs") assert.ok(drawn >= 8, `${title}, ${width} px: ${drawn} pixels of its first line`);
        }
        await picture(page, `charts-fresh-${width}`);
    }
}

export const cases = [
    { name: "charts have readable axes and a table, in both themes", run: charts },
    { name: "charts of a server that has just been started can be read", run: fresh },
];
