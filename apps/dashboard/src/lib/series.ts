// What the charts and tiles of the home screen show, from the server's statistics.
import type { JobState, Quantiles, StatMinute, Stats } from "./api";

export type Quantile = keyof Quantiles;
type Values = (number | null)[];

export interface Series {
    /** Seconds since 1970, a minute apart. */
    times: number[];
    completed: number[];
    failed: number[];
    wait: Record<Quantile, Values>;
    run: Record<Quantile, Values>;
    depth: Record<"queued" | "scheduled" | "running", Values>;
    /** In which of the minutes more happened than was counted. */
    partial: boolean[];
}

const minute = 60_000;

/** Every minute of the last so many that is known, also those in which nothing happened. */
function every(stats: Stats, minutes: number): { at: number; one: StatMinute | undefined }[] {
    const known = new Map(stats.minutes.map((one) => [Math.floor(Date.parse(one.at) / minute), one]));
    const last = Math.floor(Date.parse(stats.now) / minute);
    const first = Math.max(last - minutes + 1, Math.floor(Date.parse(stats.since) / minute));
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => ({ at: (first + i) * 60, one: known.get(first + i) }));
}

export function seriesOf(stats: Stats, minutes: number): Series {
    const all = every(stats, minutes);
    const quantile = (of: "waitMs" | "runMs", name: Quantile): Values => all.map(({ one }) => one?.[of]?.[name] ?? null);
    const quantiles = (of: "waitMs" | "runMs"): Series["wait"] => ({ p50: quantile(of, "p50"), p95: quantile(of, "p95"), p99: quantile(of, "p99") });
    const depth = (state: JobState): Values => all.map(({ one }) => one?.counts?.[state] ?? null);
    return {
        times: all.map(({ at }) => at),
        completed: all.map(({ one }) => one?.completed ?? 0),
        failed: all.map(({ one }) => one?.failed ?? 0),
        wait: quantiles("waitMs"),
        run: quantiles("runMs"),
        depth: { queued: depth("queued"), scheduled: depth("scheduled"), running: depth("running") },
        partial: all.map(({ one }) => one?.partial ?? false),
    };
}

/** Between the lines of an axis of numbers; none that the texts beside them, which are of whole ones, would round. */
export const countSteps = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();
const [second, hour] = [1000, 60 * minute];
/** The same for times, in milliseconds. */
export const durationSteps = [
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
    ...[1, 2, 5, 10, 15, 30].map((one) => one * second),
    ...[1, 2, 5, 10, 15, 30].map((one) => one * minute),
    ...[1, 2, 3, 6, 12, 24, 48, 120, 240, 720, 2400].map((one) => one * hour),
];

/** The least that a chart shows: of less its axis would have one and the same minute at every line. */
const leastShown = 10 * 60;

/** From when until when a chart goes, in seconds, for data of these times, or none. */
export function shownRange(times: ArrayLike<number>, now: number): [number, number] {
    const end = times[times.length - 1] ?? now;
    return [Math.min(times[0] ?? end, end - leastShown), end];
}

/** Where a value has none beside it: no line goes through it. */
export function alone(values: ArrayLike<number | null | undefined>): number[] {
    const has = (index: number): boolean => (values[index] ?? null) !== null;
    return Array.from(values, (_, index) => index).filter((index) => has(index) && !has(index - 1) && !has(index + 1));
}

/** How many jobs ended a minute lately, and which share of them failed; null when none ended. */
export function lately(stats: Stats, minutes: number): { perMinute: number; failedShare: number | null } {
    const { times, completed, failed } = seriesOf(stats, minutes);
    const sum = (list: number[]): number => list.reduce((all, n) => all + n, 0);
    const ended = sum(completed) + sum(failed);
    // The last minute has only begun, and the first may have been over half when the server began to look.
    const from = Math.max((times[0] ?? 0) * 1000, Date.parse(stats.since));
    const passed = Math.max(1, (Date.parse(stats.now) - from) / minute);
    return { perMinute: times.length > 0 ? ended / passed : 0, failedShare: ended > 0 ? sum(failed) / ended : null };
}

export interface Start {
    at: number;
    text: string;
}

/** When processes were started; a version that none of the role has had before is a deploy, also where two of them run side by side. */
export function startsOf(stats: Stats, from: number): Start[] {
    const versions = new Map<string, Set<string>>();
    const marks: Start[] = [];
    for (const start of [...stats.starts].sort((a, b) => Date.parse(a.at) - Date.parse(b.at))) {
        const known = versions.get(start.role);
        const deploy = known !== undefined && !known.has(start.version);
        versions.set(start.role, (known ?? new Set()).add(start.version));
        const at = Date.parse(start.at) / 1000;
        if (at >= from) marks.push({ at, text: `${start.role} ${deploy ? "deployed, version " : ""}${start.version}` });
    }
    return marks;
}
