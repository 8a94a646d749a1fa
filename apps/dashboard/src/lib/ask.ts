// How the page asks the HTTP API for anything: in time, with what was wrong as an error.
import { Cell } from "./cell";

export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly more: Record<string, unknown> = {},
    ) {
        super(message);
    }
}

/** Set once the API has said that it wants a (better) token. */
export const loggedOut = new Cell(false);

/** After so long without the whole answer there is none. A change of many jobs takes its time. */
const readMs = 20_000;
const changeMs = 120_000;

interface Asked {
    method?: string;
    body?: unknown;
    query?: object;
    signal?: AbortSignal;
}

export function address(path: string, query: object = {}): string {
    const names = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const text = new URLSearchParams(names.map(([name, value]) => [name, String(value)])).toString();
    return text ? `${path}?${text}` : path;
}

/** The text of a good answer; any other is an ApiError. Paths are relative, so that a prefix before the page is kept. */
export async function ask(path: string, asked: Asked = {}): Promise<string> {
    const method = asked.method ?? "GET";
    const abort = new AbortController();
    const forward = (): void => abort.abort();
    if (asked.signal?.aborted) abort.abort();
    asked.signal?.addEventListener("abort", forward);
    const ms = method === "GET" ? readMs : changeMs;
    const timer = setTimeout(forward, ms);
    let response: Response;
    let text: string;
    try {
        response = await fetch(address(path, asked.query), {
            method,
            headers: asked.body === undefined ? {} : { "content-type": "application/json" },
            body: asked.body === undefined ? null : JSON.stringify(asked.body),
            signal: abort.signal,
            redirect: "error",
        });
        text = await response.text();
    } catch (error) {
        if (asked.signal?.aborted) throw error;
        const late = abort.signal.aborted ? `jobrt did not answer within ${ms / 1000} s` : "jobrt does not answer; is it running?";
        throw new ApiError(0, "NO_ANSWER", late);
    } finally {
        clearTimeout(timer);
        asked.signal?.removeEventListener("abort", forward);
    }
    if (response.ok) {
        if (path === "api/session") loggedOut.set(false);
        return text;
    }
    if (response.status === 401) loggedOut.set(true);
    throw refusal(response.status, text);
}

function refusal(status: number, text: string): ApiError {
    try {
        const body = JSON.parse(text) as Record<string, unknown>;
        return new ApiError(status, String(body["code"] ?? "ERROR"), String(body["error"] ?? `HTTP ${status}`), body);
    } catch {
        return new ApiError(status, "ERROR", `The server answered with status ${status}`);
    }
}

export async function json<T>(path: string, asked?: Asked): Promise<T> {
    return JSON.parse(await ask(path, asked)) as T;
}
