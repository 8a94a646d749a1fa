// The event stream: one for the whole page, resumed by the id of the last event, so that nothing is missed or twice.
import { api, eventOf, type LogEvent } from "./api";
import { loggedOut } from "./ask";
import { Cell } from "./cell";

export type FeedState = "connecting" | "live" | "reconnecting" | "resting";

/** Kept events; the oldest go first. */
export const mostEvents = 100_000;
const firstEvents = 2_000;
const batchMs = 100;
/** A hidden page gives its connection back after so long: a browser has only six for one server. */
const restAfterMs = 30_000;
/** Three heartbeats: a connection that is silent for so long is none, whatever the browser thinks of it. */
const silentMs = 45_000;

type Listener = (added: readonly LogEvent[]) => void;

export class Feed {
    readonly state = new Cell<FeedState>("connecting");
    /** When something was last heard, also a heartbeat: the age of what is shown. Null before anything was. */
    readonly heardAt = new Cell<number | null>(null);
    /** Since when the state is "reconnecting", where it is. */
    lostAt = 0;
    /** Counts changes of `events`. */
    readonly version = new Cell(0);
    /** Counts how often all events went, since the store is another one. */
    readonly emptied = new Cell(0);
    /** Counts how often events were missed, after some had been shown: what they would have said has to be asked for. */
    readonly missed = new Cell(0);
    /** Oldest first, ids ascending. */
    readonly events: LogEvent[] = [];
    /** The newest event that was let go, as there are too many; 0 while none was. */
    droppedThrough = 0;
    /** Ids of events before which some are not kept by the server any more. */
    readonly gaps = new Set<number>();

    private source: EventSource | null = null;
    private lastId: number | null = null;
    private pending: LogEvent[] = [];
    private gapNext = false;
    private failures = 0;
    private retryTimer = 0;
    private batchTimer = 0;
    private restTimer = 0;
    private silenceTimer = 0;
    private readonly listeners = new Set<Listener>();

    start(): void {
        document.addEventListener("visibilitychange", () => this.onVisibility());
        addEventListener("online", () => this.reconnect(0));
        this.connect();
    }

    listen(listener: Listener): () => void {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
    }

    private connect(): void {
        clearTimeout(this.retryTimer);
        this.source?.close();
        const source = new EventSource(api.streamAddress(this.lastId, firstEvents));
        this.source = source;
        this.watch();
        const on = (name: string, run: (event: MessageEvent<string>) => void): void =>
            source.addEventListener(name, (event) => {
                if (source !== this.source) return;
                run(event as MessageEvent<string>);
            });
        source.onopen = () => {
            if (source === this.source) this.alive();
        };
        source.onerror = () => {
            if (source === this.source) this.reconnect(this.failures + 1);
        };
        on("telemetry", (event) => this.take(event.data));
        on("heartbeat", (event) => {
            this.alive();
            const id = Number(event.lastEventId);
            if (id > (this.lastId ?? 0)) this.lastId = id;
        });
        on("truncated", () => {
            this.gapNext = true;
            // The position is before what is kept, or after all there is: a store of an older day counts anew.
            this.lastId = null;
            if (this.events.length > 0 || this.pending.length > 0) this.missed.set(this.missed.value + 1);
        });
        for (const name of ["dropped", "shutdown"]) on(name, () => this.reconnect(1));
        on("revoked", () => loggedOut.set(true));
    }

    /** Reconnects when nothing is heard from now on for too long. */
    private watch(): void {
        clearTimeout(this.silenceTimer);
        this.silenceTimer = window.setTimeout(() => this.reconnect(this.failures + 1), silentMs);
    }

    private alive(): void {
        this.watch();
        this.failures = 0;
        this.heardAt.set(Date.now());
        this.state.set("live");
    }

    private take(text: string): void {
        this.alive();
        let event: LogEvent;
        try {
            event = eventOf(text);
        } catch {
            return;
        }
        if (!(event.id > (this.lastId ?? -1))) return;
        this.lastId = event.id;
        const newest = this.pending[this.pending.length - 1] ?? this.events[this.events.length - 1];
        if (newest && event.id <= newest.id) this.empty();
        if (this.gapNext && (this.events.length > 0 || this.pending.length > 0)) this.gaps.add(event.id);
        this.gapNext = false;
        this.pending.push(event);
        if (!this.batchTimer) this.batchTimer = window.setTimeout(() => this.flush(), batchMs);
    }

    /** Ids went back: what is kept is of another store, or of one before it was restored. */
    private empty(): void {
        this.flush();
        this.events.length = 0;
        this.droppedThrough = 0;
        this.gaps.clear();
        this.emptied.set(this.emptied.value + 1);
    }

    private flush(): void {
        clearTimeout(this.batchTimer);
        this.batchTimer = 0;
        const added = this.pending;
        this.pending = [];
        for (const event of added) this.events.push(event);
        // In one go now and then, since taking from the front moves all others.
        if (this.events.length > mostEvents * 1.05) {
            const dropped = this.events.splice(0, this.events.length - mostEvents);
            this.droppedThrough = dropped[dropped.length - 1]?.id ?? this.droppedThrough;
            for (const id of this.gaps) if (id < (this.events[0]?.id ?? 0)) this.gaps.delete(id);
        }
        this.version.set(this.version.value + 1);
        for (const listener of this.listeners)
            try {
                listener(added);
            } catch (error) {
                // What one part of the page cannot take, the others still hear of.
                console.error(error);
            }
    }

    /** Waits longer after each failure, up to ten seconds. */
    private reconnect(failures: number): void {
        this.close();
        if (this.state.value === "resting") return;
        this.failures = failures;
        if (this.state.value !== "reconnecting") this.lostAt = Date.now();
        this.state.set("reconnecting");
        clearTimeout(this.retryTimer);
        const wait = failures === 0 ? 0 : Math.min(10_000, 250 * 2 ** Math.min(failures - 1, 6));
        this.retryTimer = window.setTimeout(() => {
            // The stream itself does not tell why it is refused.
            if (failures > 1) void api.session().catch(() => undefined);
            this.connect();
        }, wait);
    }

    private close(): void {
        clearTimeout(this.silenceTimer);
        this.source?.close();
        this.source = null;
    }

    private onVisibility(): void {
        clearTimeout(this.restTimer);
        if (document.hidden) {
            this.restTimer = window.setTimeout(() => {
                this.state.set("resting");
                clearTimeout(this.retryTimer);
                this.close();
            }, restAfterMs);
        } else if (this.state.value === "resting") {
            // Nothing was lost: the page itself had given its connection back.
            this.state.set("connecting");
            this.connect();
        }
    }
}

export const feed = new Feed();
