import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Feed, mostEvents } from "../src/lib/feed";

/** A stream whose server is this test. */
class Stream {
    static opened: Stream[] = [];
    onopen: (() => void) | null = null;
    onerror: (() => void) | null = null;
    closed = false;
    private readonly listeners = new Map<string, (event: object) => void>();
    constructor(readonly address: string) {
        Stream.opened.push(this);
    }
    static last(): Stream {
        const last = Stream.opened[Stream.opened.length - 1];
        assert.ok(last);
        return last;
    }
    addEventListener(name: string, listener: (event: object) => void): void {
        this.listeners.set(name, listener);
    }
    close(): void {
        this.closed = true;
    }
    say(name: string, data: object = {}, lastEventId = ""): void {
        this.listeners.get(name)?.({ data: JSON.stringify(data), lastEventId });
    }
    events(...ids: number[]): void {
        for (const id of ids) this.say("telemetry", { id, ts: "2026-03-01T12:00:00.000Z", event: "a", level: "info" });
    }
}

/** The page in front, or behind another; who listens hears of it. */
const sight = { hidden: false, told: [] as (() => void)[] };
function hide(hidden: boolean): void {
    sight.hidden = hidden;
    for (const tell of sight.told) tell();
}
const ofPage = {
    get hidden(): boolean {
        return sight.hidden;
    },
    addEventListener: (_: string, listener: () => void) => void sight.told.push(listener),
};

const page = globalThis as unknown as Record<string, unknown>;
Object.assign(page, { window: globalThis, EventSource: Stream, document: ofPage, addEventListener: () => undefined });
page["fetch"] = () => Promise.reject(new TypeError("no server"));

/** Runs with a feed that is connected, on a clock of its own. */
function withFeed(run: (feed: Feed, tick: (ms: number) => void) => void): void {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    try {
        sight.told = [];
        const feed = new Feed();
        feed.start();
        Stream.last().onopen?.();
        run(feed, (ms) => mock.timers.tick(ms));
    } finally {
        mock.timers.reset();
    }
}

const ids = (feed: Feed): number[] => feed.events.map((event) => event.id);

test("a listener that throws does not keep events from the others", () =>
    withFeed((feed, tick) => {
        const heard: number[] = [];
        const said = mock.method(console, "error", () => undefined);
        feed.listen(() => {
            throw new Error("a broken part");
        });
        feed.listen((added) => heard.push(...added.map((event) => event.id)));
        Stream.last().events(1, 2);
        tick(200);
        Stream.last().events(3);
        tick(200);
        assert.deepEqual(heard, [1, 2, 3]);
        assert.equal(said.mock.calls.length, 2);
        said.mock.restore();
    }));

test("after events were pruned the stream goes on behind a gap, and nothing comes twice", () =>
    withFeed((feed, tick) => {
        Stream.last().events(1, 2, 3);
        tick(200);
        Stream.last().say("truncated", { oldestId: 7 });
        Stream.last().events(7, 8, 8, 7);
        tick(200);
        assert.deepEqual([ids(feed), [...feed.gaps], feed.emptied.value, feed.missed.value], [[1, 2, 3, 7, 8], [7], 0, 1]);
    }));

test("a page that is open for long keeps so many events, and marks of gaps only among them", () =>
    withFeed((feed, tick) => {
        let id = 0;
        for (let round = 0; round < 22; ++round) {
            Stream.last().say("truncated");
            for (let i = 0; i < 5_000; ++i) Stream.last().events(++id);
            tick(200);
        }
        assert.ok(feed.events.length <= mostEvents * 1.05 && feed.events.length >= mostEvents, `${feed.events.length}`);
        const first = feed.events[0]?.id ?? 0;
        assert.ok(first > 1 && feed.gaps.size > 0 && [...feed.gaps].every((gap) => gap >= first), `${first}: ${[...feed.gaps]}`);
    }));

test("a store whose ids went back is followed, and what was of the other one goes", () =>
    withFeed((feed, tick) => {
        const heard: number[] = [];
        feed.listen((added) => heard.push(...added.map((event) => event.id)));
        Stream.last().events(900, 901);
        tick(200);
        Stream.last().say("truncated", { oldestId: 950 });
        Stream.last().events(950);
        // A heartbeat may come before the first event of the other store.
        Stream.last().say("truncated", { oldestId: 5 });
        Stream.last().say("heartbeat", {}, "4");
        Stream.last().events(5, 6);
        tick(200);
        assert.deepEqual([ids(feed), [...feed.gaps], feed.emptied.value], [[5, 6], [], 1]);
        assert.deepEqual(heard, [900, 901, 950, 5, 6]);
        Stream.last().onerror?.();
        tick(1000);
        assert.equal(Stream.last().address, "api/telemetry/stream?after=6");
    }));

test("a stream that is silent for three heartbeats is opened anew, also when it never began", () =>
    withFeed((feed, tick) => {
        const before = Stream.opened.length;
        for (let beats = 0; beats < 5; ++beats) {
            tick(40_000);
            Stream.last().say("heartbeat", {}, "12");
        }
        assert.equal(Stream.opened.length, before);
        const silent = Stream.last();
        tick(46_000);
        tick(1_000);
        assert.ok(silent.closed);
        assert.deepEqual([Stream.opened.length, Stream.last().address, feed.state.value], [before + 1, "api/telemetry/stream?after=12", "reconnecting"]);
        tick(46_000);
        tick(1_000);
        assert.equal(Stream.opened.length, before + 2);
    }));

test("a page that comes back after a rest has lost nothing, and a loss counts from when it began", () =>
    withFeed((feed, tick) => {
        const minute = 60_000;
        Stream.last().events(4);
        hide(true);
        tick(12 * minute);
        assert.deepEqual([feed.state.value, Stream.last().closed], ["resting", true]);
        hide(false);
        assert.deepEqual([feed.state.value, Stream.last().address], ["connecting", "api/telemetry/stream?after=4"]);
        // It does not come about: that is a loss, which began now and not when something was heard last.
        const began = Date.now();
        Stream.last().onerror?.();
        assert.deepEqual([feed.state.value, feed.lostAt], ["reconnecting", began]);
        for (let tries = 0; tries < 3; ++tries) {
            tick(5_000);
            Stream.last().onerror?.();
        }
        assert.equal(feed.lostAt, began);
        tick(5_000);
        Stream.last().onopen?.();
        assert.deepEqual([feed.state.value, feed.heardAt.value], ["live", Date.now()]);
        tick(1_000);
        Stream.last().onerror?.();
        assert.equal(feed.lostAt, Date.now());
    }));

test("before anything was heard nothing has an age", () =>
    withFeed(() => {
        const feed = new Feed();
        feed.start();
        assert.deepEqual([feed.state.value, feed.heardAt.value], ["connecting", null]);
        Stream.last().onopen?.();
        assert.equal(feed.heardAt.value, Date.now());
    }));
