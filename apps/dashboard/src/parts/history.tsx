// The events, newest on top, in the Activity Panel.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { LogEvent } from "../lib/api";
import { useCell } from "../lib/cell";
import { feed } from "../lib/feed";
import { count, plural, shortId } from "../lib/format";
import { askFor, isOldest, Older } from "../lib/older";
import { filterBy, matches, type Filter } from "../lib/watching";
import { wordsOf } from "../lib/words";
import { Copy, When } from "./bits";
import { VirtualList } from "./virtual";

const rowHeight = 54;
/** What is asked for by itself; more when somebody wants it. */
const enough = 500;
const stepBack = 2_000;

interface OlderEvents {
    events: readonly LogEvent[];
    busy: boolean;
    /** Looks further back; null when there is nothing more. */
    more: (() => void) | null;
}

const noFilter: Filter = { job: "", trace: "", level: "" };

/** Events of the filter that are older than those the page has; none are looked for where it is null. */
export function useOlder(wants: Filter | null): OlderEvents {
    const filter = wants ?? noFilter;
    const [shown, show] = useState<OlderEvents>({ events: [], busy: false, more: null });
    const [round, setRound] = useState(0);
    const emptied = useCell(feed.emptied);
    const none = !filter.job && !filter.trace && !filter.level;
    useEffect(() => {
        let older: Older | null = none ? null : new Older(askFor(filter));
        let wanted = true;
        const tell = (busy: boolean): void => {
            if (wanted) show({ events: older?.events ?? [], busy, more: busy || !older || older.done ? null : () => void run(stepBack) });
        };
        const run = async (n: number): Promise<void> => {
            tell(true);
            try {
                await older?.more(n);
            } catch {
                // The stream's own state says that the server does not answer.
            }
            tell(false);
        };
        /** Without a filter the page's own events are the last ones; often they are all. */
        const begin = async (): Promise<void> => {
            const first = feed.events[0]?.id;
            if (!none || older || first === undefined) return;
            older = new Older(askFor(filter), first);
            older.done = await isOldest(first).catch(() => false);
            tell(false);
        };
        tell(false);
        if (!wants) return;
        if (!none) void run(enough);
        else void begin();
        const unwatch = feed.state.watch(() => {
            if (!none && feed.state.value === "live" && older?.through === 0) void run(enough);
        });
        // Between what was asked for and what the page still has, events are missing once it has let them go.
        const unlisten = feed.listen(() => {
            void begin();
            if (older && older.through > 0 && feed.droppedThrough > older.through) setRound((n) => n + 1);
        });
        return () => {
            wanted = false;
            older?.stop();
            unwatch();
            unlisten();
        };
    }, [!wants, filter.job, filter.trace, filter.level, emptied, round]);
    return shown;
}

/** How many of the events, which ascend, have ids up to this one. */
function countUpTo(events: readonly LogEvent[], id: number): number {
    let [from, to] = [0, events.length];
    while (from < to) {
        const middle = (from + to) >> 1;
        if ((events[middle]?.id ?? 0) <= id) from = middle + 1;
        else to = middle;
    }
    return from;
}

function shownEvents(filter: Filter, older: readonly LogEvent[], upTo: number | null): readonly LogEvent[] {
    const none = !filter.job && !filter.trace && !filter.level;
    const held = upTo === null ? feed.events : feed.events.slice(0, countUpTo(feed.events, upTo));
    const mine = none ? held : held.filter((event) => matches(event, filter));
    const firstKept = feed.events[0]?.id ?? Infinity;
    const before = older.filter((event) => event.id < firstKept && matches(event, filter));
    return before.length ? [...before, ...mine] : mine;
}

export function HistoryView({ filter, upTo, raw }: { filter: Filter; upTo: number | null; raw: boolean }): JSX.Element {
    const older = useOlder(filter);
    const [picked, pick] = useState<LogEvent | null>(null);
    const version = feed.version.value;
    const events = useMemo(
        () => shownEvents(filter, older.events, upTo),
        [filter.job, filter.trace, filter.level, older.events, upTo, upTo === null ? version : 0],
    );
    const total = events.length;
    const newer = upTo === null ? 0 : feed.events.slice(countUpTo(feed.events, upTo)).filter((event) => matches(event, filter)).length;
    const at = (index: number): LogEvent | undefined => events[total - 1 - index];
    return (
        <>
            <div class="row history-head">
                <p class="quiet" id="history-count">
                    {plural(total, "event")}
                    {upTo !== null && feed.events.length > 0 ? `, ${count(newer)} newer` : ""}, newest on top
                </p>
                {older.busy ? (
                    <span class="quiet" role="status">
                        looking further back…
                    </span>
                ) : older.more ? (
                    <button type="button" class="small" onClick={older.more}>
                        Further back
                    </button>
                ) : null}
            </div>
            <VirtualList
                count={total}
                height={rowHeight}
                label="Event history"
                growsOnTop
                keyOf={(index) => at(index)?.id ?? index}
                row={(index) => {
                    const event = at(index);
                    if (!event) return <></>;
                    return <Row event={event} same={!!event.jobId && at(index - 1)?.jobId === event.jobId} raw={raw} onPick={() => pick(event === picked ? null : event)} />;
                }}
            />
            {picked ? (
                <section class="picked" aria-label="Event">
                    <div class="row">
                        <code>{picked.event}</code>
                        <Copy text={picked.text} what="the event" />
                        <button type="button" class="small" onClick={() => pick(null)}>
                            Close
                        </button>
                    </div>
                    <pre tabIndex={0}>{picked.text}</pre>
                </section>
            ) : null}
        </>
    );
}

function Row({ event, same, raw, onPick }: { event: LogEvent; same: boolean; raw: boolean; onPick: () => void }): JSX.Element {
    return (
        <div class={`event level-${event.level} ${same ? "is-same" : ""}`} data-id={event.id}>
            <div class="row quiet">
                <When at={event.ts} />
                {event.level !== "info" ? <span class="level">{event.level}</span> : null}
                {feed.gaps.has(event.id) ? <span class="level">older ones are not kept</span> : null}
                {event.jobId ? (
                    <button type="button" class="id" title={`job ${event.jobId}`} onClick={() => filterBy({ job: event.jobId })}>
                        {shortId(event.jobId)}
                    </button>
                ) : null}
                {event.traceId ? (
                    <button type="button" class="id" title={`trace ${event.traceId}`} onClick={() => filterBy({ trace: event.traceId })}>
                        trace {shortId(event.traceId)}
                    </button>
                ) : null}
            </div>
            <button type="button" class="event-words" onClick={onPick} title={event.event}>
                {raw ? event.text : wordsOf(event)}
            </button>
        </div>
    );
}
