import assert from "node:assert/strict";
import { test } from "node:test";
import { panelQuery, parseRoute, routeHref } from "../src/lib/route";

test("an address reads back as it was written", () => {
    for (const hash of ["#/", "#/jobs?status=failed&p.job=1", "#/jobs/a%2Fb", "#/jobs?tag=%3Cb%3E%26%3D"]) {
        const route = parseRoute(hash);
        assert.deepEqual(parseRoute(routeHref(route.path, route.query)), route, hash);
    }
    assert.deepEqual(parseRoute("#/jobs/%E0%A4%A").path, ["jobs", "%E0%A4%A"]);
    assert.equal(routeHref(["jobs"], new URLSearchParams({ status: "", tag: "a" })), "#/jobs?tag=a");
});

test("the panel's own state is told apart", () => {
    assert.equal(panelQuery(new URLSearchParams("status=failed&p.trace=x&p.raw=1")).toString(), "p.trace=x&p.raw=1");
});
