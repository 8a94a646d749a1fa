import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, percent, plural, shortId } from "../src/lib/format";

test("durations are short and never below nothing", () => {
    const rows: [number, string][] = [
        [-5, "0 ms"],
        [12.4, "12 ms"],
        [1234, "1.2 s"],
        [59_960, "1 min"],
        [250_000, "4 min 10 s"],
        [3_600_000, "1 h"],
        [11_100_000, "3 h 5 min"],
        [187_200_000, "2 d 4 h"],
        [NaN, "–"],
    ];
    for (const [ms, text] of rows) assert.equal(duration(ms), text, String(ms));
});

test("sizes, shares and counts", () => {
    assert.deepEqual([0, 999, 1000, 78591, 999_600, 5e9].map(bytes), ["0 B", "999 B", "1.0 kB", "79 kB", "1.0 MB", "5.0 GB"]);
    assert.deepEqual([0, 0.0321, 0.5, 1].map(percent), ["0 %", "3.2 %", "50 %", "100 %"]);
    assert.equal(plural(1, "job"), "1 job");
    assert.equal(plural(1000, "job"), "1,000 jobs");
    assert.equal(shortId("01a21f5b-87b0-72a7-984e-3369e781fe5e"), "…e781fe5e");
});
