// The jobs that run or wait, in the Activity Panel.
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Activity, heardOf, mostActive, wordsOfJob, type ActiveJob } from "../lib/activity";
import { api, type JobPage, type LogEvent } from "../lib/api";
import { useCell } from "../lib/cell";
import { feed } from "../lib/feed";
import { count, plural, shortId } from "../lib/format";
import { useNow } from "../lib/live";
import { screenHref } from "../lib/route";
import { filterBy, matches, paused, type Filter } from "../lib/watching";
import { Ago, Badge, Bar } from "./bits";
import { useOlder } from "./history";
import { VirtualList } from "./virtual";

/** Room for two lines of words, or for one and a bar. */
const rowHeight = 116;

const activity = new Activity();
feed.listen((added) => {
    activity.take(added, Date.now());
    // Of more than are kept, others take the place of those that have ended.
    if (!activity.leftOut || activity.size > mostActive / 2 || Date.now() - seededAt < againAfterMs) return;
    activity.leftOut = seeded = false;
    void seed();
});

const askedAtOnce = 500;
/** What is left of many is asked for again, but not sooner than after so long. */
const againAfterMs = 10_000;

/** Asks once what runs and waits: the events that say so may be older than those the page begins with. */
let seeded = false;
let seededAt = 0;
async function seed(): Promise<void> {
    if (seeded || feed.state.value !== "live") return;
    seeded = true;
    seededAt = Date.now();
    try {
        // By themselves, as a long queue would leave no room for what runs.
        for (const status of ["running", "queued", "scheduled"]) {
            let cursor: string | null = "";
            while (cursor !== null && activity.size < mostActive) {
                const page: JobPage = await api.jobs({ status }, askedAtOnce, cursor);
                activity.seed(page.jobs);
                cursor = page.nextCursor;
            }
            if (cursor !== null) activity.leftOut = true;
        }
    } catch {
        seeded = false; // Again when the stream is back, or in a while.
        activity.leftOut = true;
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

/** As it was when the panel was paused. */
let kept: { jobs: readonly ActiveJob[]; leftOut: boolean } | null = null;
paused.watch(() => (kept = paused.value && { jobs: activity.shown(Date.now()).map((job) => ({ ...job })), leftOut: activity.leftOut }));

interface Shown {
    job: ActiveJob;
    heard: LogEvent | null;
}

/** With a level those jobs only of which an event has it, with that event. */
function shownJobs(jobs: readonly ActiveJob[], filter: Filter, older: ReadonlyMap<string, LogEvent>): Shown[] {
    const shown: Shown[] = [];
    for (const job of jobs) {
        if ((filter.job && job.id !== filter.job) || (filter.trace && job.traceId !== filter.trace)) continue;
        const heard = heardOf(job, filter.level) ?? (filter.level ? (older.get(job.id) ?? null) : null);
        if (heard || !filter.level) shown.push({ job, heard });
    }
    return shown;
}

export function ActiveView({ filter, raw }: { filter: Filter; raw: boolean }): JSX.Element {
    const now = useNow();
    useCell(paused);
    // Of jobs that failed before the page was opened, and wait for their next attempt.
    const asked = useOlder(filter.level ? filter : null).events;
    const older = useMemo(() => new Map(asked.filter((event) => event.jobId && matches(event, filter)).map((event) => [event.jobId, event])), [asked, filter.level]);
    const { jobs, leftOut } = kept ?? { jobs: activity.shown(now), leftOut: activity.leftOut };
    const shown = shownJobs(jobs, filter, older);
    if (shown.length === 0)
        return <p class="quiet empty">{filter.job || filter.trace || filter.level ? "No job that runs or waits now matches this filter." : "Nothing runs or waits now."} History has what was.</p>;
    return (
        <>
            <p class="quiet" id="active-count">
                {leftOut ? `${count(shown.length)} jobs or more` : plural(shown.length, "job")}
            </p>
            <VirtualList
                count={shown.length}
                height={rowHeight}
                label="Active jobs"
                keyOf={(index) => shown[index]?.job.id ?? index}
                row={(index) => {
                    const one = shown[index];
                    return one ? <Card {...one} now={now} raw={raw} /> : <></>;
                }}
            />
        </>
    );
}

function Card({ job, heard, now, raw }: Shown & { now: number; raw: boolean }): JSX.Element {
    const words = raw && heard ? heard.text : wordsOfJob(job, heard);
    return (
        <div class={`active-job level-${heard?.level ?? "info"}`}>
            <div class="row">
                <Badge state={job.state} />
                <a href={screenHref(["jobs", job.id])}>{job.url || job.kind || shortId(job.id)}</a>
            </div>
            {job.state === "running" && job.percent !== null ? <Bar percent={job.percent} label={`Progress of job ${shortId(job.id)}`} /> : null}
            <p class="words" title={words}>
                {words}
            </p>
            <p class="quiet row">
                {heard && heard.level !== "info" ? <span class="level">{heard.level}</span> : null}
                <Ago at={job.since} now={now} />
                <button type="button" class="id" title={job.id} onClick={() => filterBy({ job: job.id })}>
                    {shortId(job.id)}
                </button>
            </p>
        </div>
    );
}
