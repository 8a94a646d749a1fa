import assert from "node:assert/strict";
import { call, eventually, picture, submit, waitFor } from "./world.mjs";

const state = (page) => page.locator(".job-head .badge").first();

/** The main story, on whatever store and with whatever processes the world has. */
export async function fromAddressToVideo(world) {
    let send;
    const site = await world.site(new Promise((done) => (send = done)));
    const { url } = await world.serve();
    const page = await world.browse();
    await page.goto(url);
    await page.getByText("No jobs yet").waitFor();
    const curl = await page.locator("#first-curl").textContent();
    assert.ok(curl.includes(`${url}/api/jobs`) && !curl.includes("authorization"), curl);

    await page.getByLabel("Save a video").fill(`${site}/page`);
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}/);
    const id = page.url().match(/jobs\/([0-9a-f-]{36})/)[1];
    // While it runs the panel says so, without being asked.
    const live = page.locator(".active-job", { has: page.locator(`.id[title="${id}"]`) });
    await live.locator(".badge").getByText("running").waitFor({ timeout: 40_000 });
    send();
    await state(page).getByText("completed").waitFor({ timeout: 40_000 });

    const video = page.locator("video");
    await video.evaluate((element) => {
        element.muted = true;
        return element.play();
    });
    await eventually("the video's frames advance", () => video.evaluate((element) => element.currentTime > 0.4 && element.videoWidth === 320 && element.getVideoPlaybackQuality().totalVideoFrames > 2));
    const wide = await video.evaluate((element) => new Promise((done) => {
        const image = new Image();
        image.onload = () => done(image.naturalWidth);
        image.onerror = () => done(0);
        image.src = element.poster;
    }));
    assert.ok(wide > 0, "its poster is a picture");
    // The events of a job come a moment after its state.
    await page.locator(".phases tbody tr").first().getByText("completed").waitFor();
    for (const phase of ["waited", "ran", "extraction", "download", "publishing"]) {
        const column = page.locator(".phases thead th", { hasText: phase });
        assert.equal(await column.count(), 1, phase);
        const cell = page.locator(".phases tbody tr").first().locator("td").nth(["waited", "ran", "extraction", "download", "publishing"].indexOf(phase) + 1);
        assert.match(await cell.textContent(), /^[\d.]+ m?s$/, phase);
    }
    await page.locator("section[aria-label=Result] pre").getByText("sha256").waitFor();

    // One job, then one request, followed end to end; and Back restores each step.
    await page.getByRole("button", { name: "Show its activity" }).click();
    await page.locator(".event-words", { hasText: /^Completed/ }).waitFor();
    const words = await page.locator(".event-words").allTextContents();
    const order = ["Completed", "Download done", "Download started", "Looking for the video", "A worker took it", "Submitted"];
    const at = order.map((start) => words.findIndex((line) => line.startsWith(start)));
    assert.deepEqual([...at].sort((a, b) => a - b), at, words.join("\n"));
    assert.ok(at[0] >= 0, words.join("\n"));
    const job = (await call(url, "GET", `/api/jobs/${id}`)).json.job;
    await page.locator("#panel-filter").fill(job.traceId);
    await page.keyboard.press("Enter");
    await page.waitForURL((address) => address.hash.includes(`p.trace=${job.traceId}`));
    await page.getByText("local did POST /api/jobs").waitFor();
    await page.goBack();
    await page.waitForURL((address) => address.hash.includes(`p.job=${id}`));
    const filtered = () => eventually("the filter is as it was", async () => (await page.locator("#panel-filter").inputValue()) === id);
    await filtered();
    await picture(page, "job");
    await page.reload();
    await state(page).getByText("completed").waitFor();
    await filtered();
}

export async function refusals(world) {
    const site = await world.site();
    const { url } = await world.serve({ ENABLE_TIKTOK: "false" });
    const page = await world.browse();
    await page.goto(url);
    const field = page.getByLabel("Save a video");
    const send = async (address) => {
        await field.fill(address);
        await page.keyboard.press("Enter");
    };
    const said = page.locator("#submit-said");

    const first = await submit(url, { url: `${site}/twice` });
    await send(`${site}/twice`);
    await said.getByText(/saved already|waits or runs already/).waitFor();
    await waitFor(url, first, ["completed"]);
    await send(`${site}/twice`);
    await said.getByText("saved already").waitFor();
    await said.getByRole("link", { name: "See that job" }).click();
    await page.waitForURL((address) => address.hash.includes(first));

    await page.goBack();
    await send("https://www.tiktok.com/@someone/video/7234567890123456789");
    await said.getByText(/switched off/).waitFor();
    await said.getByRole("link", { name: "Settings" }).waitFor();
    await send("not an address");
    await said.getByText("cannot be saved").waitFor();
    assert.equal((await call(url, "GET", "/api/jobs")).json.jobs.length, 1);
}

export async function cancelRunning(world) {
    const { url } = await world.serve();
    const id = await submit(url, { kind: "demo.sleep", payload: { ms: 60_000, steps: 50 } });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs/${id}`);
    await state(page).getByText("running").waitFor();
    await page.locator("section[aria-label=Progress] progress[value]").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await state(page).getByText("canceled").waitFor();
    // What fits now: run again, delete; nothing to cancel.
    assert.equal(await page.getByRole("button", { name: "Cancel" }).count(), 0);
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
    assert.equal((await call(url, "GET", `/api/jobs/${id}`)).status, 200);
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.waitForURL(/#\/jobs$/);
    assert.equal((await call(url, "GET", `/api/jobs/${id}`)).status, 404);
}
