// The Activity Panel: what happens now, on the right of every screen.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Activity, type ActiveJob } from "../lib/activity";
import { api, type LogEvent } from "../lib/api";
import { Cell, useCell } from "../lib/cell";
import { feed } from "../lib/feed";
import { count, duration, plural, shortId } from "../lib/format";
import { useNow } from "../lib/live";
import { changeQuery, route, screenHref } from "../lib/route";
import { wordsOf } from "../lib/words";
import { AddressField, Ago, Badge, Bar, Copy, When } from "./bits";
import { VirtualList } from "./virtual";

const rowHeight = 54;
/** Ids of jobs are UUIDs of version 7; those that callers bring as traces are mostly of others. */
const jobPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The id up to which events are shown while the panel is paused. */
const pausedAt = new Cell<number | null>(null);
export function togglePause(): void {
    pausedAt.set(pausedAt.value === null ? (feed.events[feed.events.length - 1]?.id ?? 0) : null);
}

const activity = new Activity();
feed.listen((added) => activity.take(added, Date.now()));

/** Asks once what runs and waits: the events that say so may be older than those the page begins with. */
let seeded = false;
async function seed(): Promise<void> {
    if (seeded || feed.state.value !== "live") return;
    seeded = true;
    try {
        // By themselves, as a long queue would leave no room for what runs.
        for (const status of ["running", "queued"]) activity.seed((await api.jobs({ status }, 100, "")).jobs);
    } catch {
        seeded = false; // Again when the stream is back.
    }
}
feed.state.watch(() => void seed());
/** What is active is asked for anew where events do not tell: of another store, or of jobs that ended while none came. */
function seedAnew(): void {
    activity.clear();
    seeded = false;
    void seed();
}
feed.emptied.watch(seedAnew);
feed.missed.watch(seedAnew);

interface Filter {
    job: string;
    trace: string;
    level: string;
}

/** The activity of a job, or of all that belongs to a trace; of everything without either. */
export function filterBy({ job = "", trace = "" }: { job?: string; trace?: string }): void {
    changeQuery({ "p.job": job, "p.trace": trace, "p.view": job || trace ? "history" : route.value.query.get("p.view") ?? "" });
}

/** A typed id: that of a job when it looks so, else of a trace. */
function filterByTyped(text: string): void {
    const id = text.trim();
    filterBy(jobPattern.test(id) ? { job: id.toLowerCase() } : { trace: id });
}

function matches(event: LogEvent, filter: Filter): boolean {
    return (
        (!filter.job || event.jobId === filter.job) &&
        (!filter.trace || event.traceId === filter.trace) &&
        (!filter.level || event.level === filter.level || (filter.level === "warn" && event.level === "error"))
    );
}

/** Events of the filter that are older than those the page has. */
function useOlder(filter: Filter): LogEvent[] {
    const [older, setOlder] = useState<LogEvent[]>([]);
    useEffect(() => {
        setOlder([]);
        if (!filter.job && !filter.trace) return;
        let wanted = true;
        const ask = { limit: 2000, ...(filter.job ? { jobId: filter.job } : {}), ...(filter.trace ? { traceId: filter.trace } : {}) };
        api.events(ask).then(
            (events) => wanted && setOlder(events),
            () => undefined, // The stream's own state says that the server does not answer.
        );
        return () => {
            wanted = false;
        };
    }, [filter.job, filter.trace]);
    return older;
}

function shownEvents(filter: Filter, older: LogEvent[], upTo: number | null): LogEvent[] {
    const none = !filter.job && !filter.trace && !filter.level;
    const mine = none && upTo === null ? feed.events : feed.events.filter((e) => (upTo === null || e.id <= upTo) && matches(e, filter));
    const firstKept = feed.events[0]?.id ?? Infinity;
    const before = older.filter((event) => event.id < firstKept && matches(event, filter));
    return before.length ? [...before, ...mine] : mine;
}

interface StreamSaid {
    word: string;
    sign: string;
    /** How old what is shown may be. */
    age: string;
}

function useStream(): StreamSaid {
    const state = useCell(feed.state);
    const heardAt = useCell(feed.heardAt);
    const paused = useCell(pausedAt) !== null;
    const now = useNow();
    const word = paused ? "Paused" : state === "live" ? "Live" : state === "connecting" ? "Connecting" : "Reconnecting";
    const sign = paused ? "❚❚" : state === "live" ? "●" : "◌";
    const seconds = Math.max(0, Math.floor((now - heardAt) / 1000));
    return { word, sign, age: seconds < 60 ? `${seconds} s` : duration(seconds * 1000) };
}

function StreamState(): JSX.Element {
    const { word, sign, age } = useStream();
    return (
        <p class={`stream is-${word.toLowerCase()}`} data-state={word.toLowerCase()}>
            <span aria-hidden="true">{sign}</span> <strong role="status">{word}</strong>
            <span class="quiet"> · heard {age} ago</span>
        </p>
    );
}

/** To the panel where it is below the screen; says of it what has to be seen wherever one is. */
export function ToActivity(): JSX.Element {
    const { word, sign, age } = useStream();
    return (
        <button
            type="button"
            class={`small to-activity is-${word.toLowerCase()}`}
            aria-label={`Activity: ${word} · ${age} ago`}
            onClick={() => document.getElementById("activity")?.scrollIntoView()}
        >
            <span aria-hidden="true">{sign}</span> {word} <span class="quiet">· {age} ago</span>
        </button>
    );
}

export function Panel(): JSX.Element {
    const { query } = useCell(route);
    useCell(feed.version);
    const upTo = useCell(pausedAt);
    const filter: Filter = { job: query.get("p.job") ?? "", trace: query.get("p.trace") ?? "", level: query.get("p.level") ?? "" };
    const view = query.get("p.view") === "history" ? "history" : "active";
    const raw = query.get("p.raw") === "1";
    return (
        <aside class="panel" id="activity" aria-label="Activity Panel">
            <header>
                <h2>Activity</h2>
                <StreamState />
                <button type="button" class="small" aria-pressed={upTo !== null} onClick={togglePause} aria-keyshortcuts="p">
                    {upTo === null ? "Pause" : "Resume"}
                </button>
            </header>
            <FilterForm filter={filter} query={query} />
            <div class="row panel-views">
                <div class="switch" role="group" aria-label="View">
                    {(["active", "history"] as const).map((name) => (
                        <button key={name} type="button" aria-pressed={view === name} onClick={() => changeQuery({ "p.view": name === "active" ? "" : name })}>
                            {name === "active" ? "Active" : "History"}
                        </button>
                    ))}
                </div>
                <label>
                    <input type="checkbox" checked={raw} onChange={(event) => changeQuery({ "p.raw": event.currentTarget.checked ? "1" : "" })} /> raw
                </label>
            </div>
            {view === "active" ? <ActiveView filter={filter} /> : <HistoryView filter={filter} upTo={upTo} raw={raw} />}
        </aside>
    );
}

function FilterForm({ filter, query }: { filter: Filter; query: URLSearchParams }): JSX.Element {
    const current = filter.job || filter.trace;
    return (
        <form
            class="row panel-filter"
            role="search"
            aria-label="Filter activity"
            onSubmit={(event) => {
                event.preventDefault();
                filterByTyped(String(new FormData(event.currentTarget).get("id") ?? ""));
            }}
        >
            <AddressField id="panel-filter" name="id" placeholder="job or trace id" aria-label="Job or trace id" value={current} at={query} />
            <select aria-label="Level" value={filter.level} onChange={(event) => changeQuery({ "p.level": event.currentTarget.value })}>
                <option value="">all levels</option>
                <option value="warn">warnings</option>
                <option value="error">errors</option>
            </select>
            {current ? (
                <button type="button" class="small" onClick={() => changeQuery({ "p.job": "", "p.trace": "" })}>
                    Clear
                </button>
            ) : null}
        </form>
    );
}

function ActiveView({ filter }: { filter: Filter }): JSX.Element {
    const now = useNow();
    const kept = useRef<ActiveJob[]>([]);
    // While paused it stays as it was.
    if (pausedAt.value === null) kept.current = activity.shown(now).map((job) => ({ ...job }));
    const jobs = kept.current.filter((job) => (!filter.job || job.id === filter.job) && (!filter.trace || job.traceId === filter.trace));
    if (jobs.length === 0) return <p class="quiet empty">Nothing runs or waits now. History has what was.</p>;
    return (
        <div class="active" role="region" aria-label="Active jobs" tabIndex={0}>
            <ul>
                {jobs.slice(0, 60).map((job) => (
                    <li key={job.id} class={`active-job level-${job.level}`}>
                        <div class="row">
                            <Badge state={job.state} />
                            <a href={screenHref(["jobs", job.id])}>{job.url || job.kind || shortId(job.id)}</a>
                        </div>
                        {job.state === "running" && job.percent !== null ? <Bar percent={job.percent} label={`Progress of job ${shortId(job.id)}`} /> : null}
                        <p class="words">{job.words}</p>
                        <p class="quiet row">
                            <Ago at={job.since} now={now} />
                            <button type="button" class="id" title={job.id} onClick={() => filterBy({ job: job.id })}>
                                {shortId(job.id)}
                            </button>
                        </p>
                    </li>
                ))}
            </ul>
            {jobs.length > 60 ? <p class="quiet">and {plural(jobs.length - 60, "other job")}</p> : null}
        </div>
    );
}

function HistoryView({ filter, upTo, raw }: { filter: Filter; upTo: number | null; raw: boolean }): JSX.Element {
    const older = useOlder(filter);
    const [picked, pick] = useState<LogEvent | null>(null);
    const version = feed.version.value;
    const events = useMemo(
        () => shownEvents(filter, older, upTo),
        [filter.job, filter.trace, filter.level, older, upTo, upTo === null ? version : 0],
    );
    const total = events.length;
    const at = (index: number): LogEvent | undefined => events[total - 1 - index];
    return (
        <>
            <p class="quiet" id="history-count">
                {plural(total, "event")}
                {upTo !== null && feed.events.length > 0 ? `, ${count(feed.events.filter((e) => e.id > upTo).length)} newer` : ""}, newest on top
            </p>
            <VirtualList
                count={total}
                height={rowHeight}
                label="Event history"
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
