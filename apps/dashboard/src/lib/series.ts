// What the charts and tiles of the home screen show, from the server's statistics.
import type { JobState, Stats, WorkerInfo } from "./api";

export interface Series {
    times: number[];
    completed: number[];
    failed: number[];
    wait: Record<"p50" | "p95" | "p99", (number | null)[]>;
    run: Record<"p50" | "p95" | "p99", (number | null)[]>;
    depth: Record<"queued" | "scheduled" | "running", (number | null)[]>;
}

/** Rates are a minute, times in milliseconds. */
export function seriesOf(stats: Stats): Series {
    const { points } = stats;
    const aMinute = 60_000 / stats.stepMs;
    const quantile = (of: "waitMs" | "runMs", name: "p50" | "p95" | "p99"): (number | null)[] => points.map((point) => point[of][name]);
    const quantiles = (of: "waitMs" | "runMs"): Series["wait"] => ({ p50: quantile(of, "p50"), p95: quantile(of, "p95"), p99: quantile(of, "p99") });
    const depth = (state: JobState): (number | null)[] => points.map((point) => point.depth[state] ?? null);
    return {
        times: points.map((point) => Math.round(Date.parse(point.at) / 1000)),
        completed: points.map((point) => point.completed * aMinute),
        failed: points.map((point) => point.failed * aMinute),
        wait: quantiles("waitMs"),
        run: quantiles("runMs"),
        depth: { queued: depth("queued"), scheduled: depth("scheduled"), running: depth("running") },
    };
}

/** Jobs that ended in the last `minutes`, and which share of them failed; null when none ended. */
export function lately(stats: Stats, minutes: number): { perMinute: number; failedShare: number | null } {
    const last = stats.points.slice(-Math.max(1, Math.round((minutes * 60_000) / stats.stepMs)));
    const failed = last.reduce((sum, point) => sum + point.failed, 0);
    const ended = failed + last.reduce((sum, point) => sum + point.completed, 0);
    const span = (last.length * stats.stepMs) / 60_000;
    return { perMinute: span > 0 ? ended / span : 0, failedShare: ended > 0 ? failed / ended : null };
}

export interface Start {
    at: number;
    text: string;
}

/** When the processes were started, and where the version changed. */
export function startsOf(sessions: readonly WorkerInfo[], from: number): Start[] {
    return sessions
        .map((one) => ({ at: Date.parse(one.startedAt) / 1000, text: `${one.role} ${one.version} (pid ${one.pid})` }))
        .filter((one) => one.at >= from)
        .sort((a, b) => a.at - b.at);
}
