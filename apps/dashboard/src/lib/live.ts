// Answers that are asked for again when something happened, and at times in any case.
import { useEffect, useRef, useState } from "preact/hooks";
import type { LogEvent } from "./api";
import { ApiError } from "./ask";
import { feed } from "./feed";

export interface Loaded<T> {
    value: T | undefined;
    error: ApiError | undefined;
    reload: () => void;
}

interface Wanted {
    /** Ask again after so long in any case. */
    everyMs: number;
    /** Ask again, at most once in `atMostMs`, after an event that this takes. */
    when?: (event: LogEvent) => boolean;
    atMostMs?: number;
}

/** Asks when `key` changes, and again as `wanted` says. The last good answer stays while a later one fails. */
export function useLoaded<T>(key: string, load: (signal: AbortSignal) => Promise<T>, wanted: Wanted): Loaded<T> {
    const [state, setState] = useState<{ key: string; value?: T; error?: ApiError }>({ key });
    const latest = useRef({ load, wanted });
    latest.current = { load, wanted };
    const again = useRef<() => void>(() => undefined);
    useEffect(() => {
        const abort = new AbortController();
        let timer = 0;
        let running = false;
        let dirty = false;
        let askedAt = 0;
        const run = async (): Promise<void> => {
            if (abort.signal.aborted) return;
            if (running) {
                dirty = true;
                return;
            }
            running = true;
            dirty = false;
            askedAt = Date.now();
            clearTimeout(timer);
            try {
                const value = await latest.current.load(abort.signal);
                if (!abort.signal.aborted) setState({ key, value });
            } catch (error) {
                const shown = error instanceof ApiError ? error : new ApiError(0, "ERROR", String(error));
                if (!abort.signal.aborted)
                    setState((old) => ({ key, ...(old.key === key && old.value !== undefined ? { value: old.value } : {}), error: shown }));
            }
            running = false;
            soon(dirty ? (latest.current.wanted.atMostMs ?? 1000) : latest.current.wanted.everyMs);
        };
        const soon = (ms: number): void => {
            clearTimeout(timer);
            if (!abort.signal.aborted) timer = window.setTimeout(() => void run(), ms);
        };
        again.current = () => void run();
        void run();
        const unlisten = feed.listen((added) => {
            const { when, atMostMs = 1000 } = latest.current.wanted;
            if (!when || !added.some(when)) return;
            if (running) dirty = true;
            else soon(Math.max(0, askedAt + atMostMs - Date.now()));
        });
        const unwatch = feed.state.watch(() => {
            if (feed.state.value === "live") soon(0);
        });
        return () => {
            abort.abort();
            clearTimeout(timer);
            unlisten();
            unwatch();
        };
    }, [key]);
    const mine = state.key === key;
    return { value: mine ? state.value : undefined, error: mine ? state.error : undefined, reload: () => again.current() };
}

/** The time, again and again, for ages that grow on the page. */
export function useNow(everyMs = 1000): number {
    const [now, setNow] = useState(Date.now);
    useEffect(() => {
        const timer = setInterval(() => setNow(Date.now()), everyMs);
        return () => clearInterval(timer);
    }, [everyMs]);
    return now;
}
