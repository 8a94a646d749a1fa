import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { api, type Counts, type JobState, type QueueInfo, type Stats } from "../lib/api";
import { count, duration, percent } from "../lib/format";
import { useLoaded, useNow } from "../lib/live";
import { screenHref } from "../lib/route";
import { countSteps, durationSteps, lately, seriesOf, startsOf } from "../lib/series";
import { Ago, Badge, Tile, Trouble } from "../parts/bits";
import { Chart, type Line } from "../parts/chart";
import { Submit } from "../parts/submit";
import { EmptyStart } from "./jobs";

const touchesStates = (event: { event: string }): boolean => /^(jobs\.|worker\.job\.(claimed|completed|failed|canceled|retry))/.test(event.event);

const shownMinutes = 60;

export function HomeScreen(): JSX.Element {
    const live = { everyMs: 5000, when: touchesStates, atMostMs: 2000 };
    const counts = useLoaded("counts", () => api.counts({}).then((all) => all.counts), live);
    const queues = useLoaded("queues", () => api.queues(), live);
    const stats = useLoaded("stats", () => api.stats(shownMinutes), { everyMs: 10_000 });
    return (
        <>
            <h1>Home</h1>
            <Submit />
            <Tiles counts={counts.value ?? null} queues={queues.value ?? null} stats={stats.value ?? null} />
            {stats.value ? <Charts stats={stats.value} /> : null}
            <Latest />
        </>
    );
}

function Tiles({ counts, queues, stats }: { counts: Counts | null; queues: QueueInfo[] | null; stats: Stats | null }): JSX.Element {
    const workers = useLoaded("workers", () => api.workers(), { everyMs: 3000 });
    const living = workers.value?.filter((one) => one.live) ?? [];
    const running = living.reduce((sum, one) => sum + one.running, 0);
    const tiles: JSX.Element[] = [];
    const depth = (state: JobState): void => {
        if (!counts) return;
        const tone = state === "failed" && counts[state] > 0 ? ({ tone: "bad" } as const) : {};
        tiles.push(<Tile key={state} name={state} value={count(counts[state])} href={screenHref(["jobs"], { status: state })} {...tone} />);
    };
    depth("queued");
    if (queues) {
        const oldest = Math.max(-1, ...queues.map((queue) => queue.oldestDueMs ?? -1));
        tiles.push(<Tile key="oldest" name="oldest waits" value={oldest < 0 ? "–" : duration(oldest)} href={screenHref(["queues"])} {...(oldest > 60_000 ? { tone: "warn" as const } : {})} />);
    }
    depth("running");
    depth("scheduled");
    for (const state of ["completed", "failed", "canceled"] as const) depth(state);
    if (stats) {
        const now = lately(stats, 5);
        tiles.push(<Tile key="rate" name="ended a minute" value={now.perMinute < 10 ? now.perMinute.toFixed(1) : count(now.perMinute)} more="last 5 min" />);
        tiles.push(<Tile key="failures" name="failure rate" value={now.failedShare === null ? "–" : percent(now.failedShare)} more="last 5 min" {...((now.failedShare ?? 0) > 0.05 ? { tone: "warn" as const } : {})} />);
    }
    if (workers.value)
        tiles.push(
            <Tile
                key="workers"
                name="workers"
                value={count(living.length)}
                href={screenHref(["workers"])}
                more={running === 1 ? "1 job runs" : `${count(running)} jobs run`}
                {...(living.length === 0 ? { tone: "bad" as const } : {})}
            />,
        );
    return <div class="tiles">{tiles}</div>;
}

const quantileLines = (of: Record<"p50" | "p95" | "p99", (number | null)[]>): Line[] => [
    { name: "p50", colour: "--chart-1", values: of.p50 },
    { name: "p95", colour: "--chart-3", dash: [6, 3], values: of.p95 },
    { name: "p99", colour: "--chart-2", dash: [2, 3], values: of.p99 },
];
const rate = (value: number): string => (value < 10 ? String(Math.round(value * 10) / 10) : count(value));

function Charts({ stats }: { stats: Stats }): JSX.Element {
    const series = useMemo(() => seriesOf(stats, shownMinutes), [stats]);
    const marks = startsOf(stats, series.times[0] ?? 0);
    const shared = { times: series.times, partial: series.partial, marks };
    const lines = useMemo(
        () => ({
            rate: [
                { name: "completed", colour: "--chart-4", values: series.completed },
                { name: "failed", colour: "--chart-2", dash: [6, 3], values: series.failed },
            ],
            wait: quantileLines(series.wait),
            run: quantileLines(series.run),
            depth: [
                { name: "queued", colour: "--chart-1", values: series.depth.queued },
                { name: "running", colour: "--chart-4", dash: [6, 3], values: series.depth.running },
                { name: "scheduled", colour: "--chart-3", dash: [2, 3], values: series.depth.scheduled },
            ],
        }),
        [series],
    );
    return (
        <div class="charts">
            <Chart title="Throughput, jobs a minute" {...shared} lines={lines.rate} format={rate} steps={countSteps} />
            <Chart title="Wait time" {...shared} lines={lines.wait} format={duration} steps={durationSteps} />
            <Chart title="Run time" {...shared} lines={lines.run} format={duration} steps={durationSteps} />
            <Chart title="Depth, jobs" {...shared} lines={lines.depth} format={count} steps={countSteps} />
        </div>
    );
}

function Latest(): JSX.Element | null {
    const now = useNow();
    const latest = useLoaded("latest", () => api.jobs({}, 8, ""), { everyMs: 5000, when: touchesStates });
    if (latest.value?.jobs.length === 0) return <EmptyStart />;
    return (
        <section class="card" aria-label="Newest jobs">
            <h2>Newest jobs</h2>
            <Trouble error={latest.error} />
            <ul class="plain">
                {latest.value?.jobs.map((job) => (
                    <li key={job.id} class="row">
                        <Badge state={job.status} />
                        <a class="grow cut" href={screenHref(["jobs", job.id])}>
                            {job.url || job.kind}
                        </a>
                        <Ago at={job.createdAt} now={now} />
                    </li>
                ))}
            </ul>
            <p>
                <a href={screenHref(["jobs"])}>All jobs</a>
            </p>
        </section>
    );
}
