// The buttons that copy, with Chromium's own clipboard: where a page may use it, where it may not, and where there is none.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";
import { axe, browserPath, eventually, isRoot, submit, waitFor } from "./world.mjs";

const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

/** Presses the button; what the clipboard has then. */
async function copied(page, what) {
    await page.evaluate(() => navigator.clipboard.writeText("nothing yet"));
    const button = page.getByRole("button", { name: `Copy ${what}`, exact: true }).first();
    // The word stands for a moment only.
    await Promise.all([button.getByText("copied", { exact: true }).waitFor(), button.click()]);
    return clipboard(page);
}

async function copies(world) {
    const { url } = await world.serve();
    const page = await world.browse({ permissions: ["clipboard-read", "clipboard-write"] });
    await page.goto(`${url}/#/jobs`);
    const command = await copied(page, "the command");
    assert.equal(command, await page.locator("#first-curl").textContent());
    // It does what it is there for.
    const { job } = JSON.parse(execFileSync("bash", ["-c", command], { encoding: "utf8" }));
    await waitFor(url, job.id, ["completed"]);
    await page.locator(`a[href$="${job.id}"]`).first().waitFor();

    const id = await submit(url, '{"kind":"demo.echo","payload":{"text":"<ä \\u20ac 😀>","big":12345678901234567890}}');
    await waitFor(url, id, ["completed"]);
    await page.goto(`${url}/#/jobs/${id}`);
    for (const part of ["Payload", "Result"]) {
        const pre = page.locator(`section[aria-label=${part}] pre`);
        await pre.waitFor();
        const text = await copied(page, part);
        assert.equal(text, await pre.textContent());
        assert.match(text, /"big": 12345678901234567890/);
        assert.match(text, /<ä € 😀>/);
    }
    assert.equal(await copied(page, "the job id"), id);
    // The key that copies is where it was, for whoever has no mouse.
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Copy the job id");
}

/** A browser of its own, for which `far.test` is this machine too: no loopback in its eyes, so that there is no clipboard without TLS. */
async function without(world) {
    const { url, port } = await world.start({ JOBRT_ALLOWED_HOSTS: "far.test" });
    const id = await submit(url, { kind: "demo.echo", payload: { text: "to be copied" } });
    await waitFor(url, id, ["completed"]);
    const browser = await chromium.launch({ executablePath: browserPath, args: [...(isRoot ? ["--no-sandbox"] : []), "--host-resolver-rules=MAP far.test 127.0.0.1"] });
    try {
        const near = await (await browser.newContext()).newPage();
        await near.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
        await near.goto(url);
        for (const refused of [false, true]) {
            const page = await (await browser.newContext({ colorScheme: refused ? "dark" : "light" })).newPage();
            page.setDefaultTimeout(15_000);
            if (refused) await page.addInitScript(() => (document.execCommand = () => false));
            await page.goto(`http://far.test:${port}/#/jobs/${id}`);
            assert.equal(await page.evaluate(() => typeof navigator.clipboard), "undefined");
            const button = page.getByRole("button", { name: "Copy Payload" });
            await button.focus();
            const word = button.getByText(refused ? "not copied" : "copied", { exact: true }).waitFor();
            await Promise.all([word, page.keyboard.press("Enter")]);
            const note = page.locator(".note", { hasText: "did not let Payload be copied: select the text and copy it by hand" });
            if (refused) {
                await note.waitFor();
                await axe(page, "a note that nothing was copied");
            } else {
                assert.equal(await note.count(), 0);
                await near.bringToFront();
                await eventually("it is in the clipboard", async () => JSON.parse((await clipboard(near)) || "{}").text === "to be copied");
            }
            assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Copy Payload");
            assert.equal(await page.locator("textarea").count(), 0);
        }
    } finally {
        await browser.close();
    }
}

export const cases = [
    { name: "what is copied is what stands there", run: copies },
    { name: "without TLS it is copied all the same, and what is not copied is told", run: without },
];
