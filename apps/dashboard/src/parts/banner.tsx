// Said on top of every screen, only when something is wrong, with what helps.
import type { JSX } from "preact";
import { api } from "../lib/api";
import { ApiError, loggedOut } from "../lib/ask";
import { useCell } from "../lib/cell";
import { feed } from "../lib/feed";
import { duration } from "../lib/format";
import { useLoaded, useNow } from "../lib/live";
import { screenHref } from "../lib/route";
import { lowDisks } from "../lib/words";
import { Command, curl, session } from "./bits";

/** A stream that is away for less is not worth a word. */
const lostAfterMs = 3_000;

export function Banner(): JSX.Element {
    const out = useCell(loggedOut);
    const guarded = useCell(session)?.guarded ?? false;
    const state = useCell(feed.state);
    const now = useNow();
    const health = useLoaded("health", () => api.workerHealth(), { everyMs: 3_000 });
    const status = useLoaded("status", () => api.status(), { everyMs: 10_000 });
    const said: JSX.Element[] = [];
    if (out)
        said.push(
            <>
                You are logged out, or your token was revoked. <a href="login">Log in</a>
            </>,
        );
    else if (health.error && health.error.status === 503)
        said.push(
            <>
                The store does not answer. Jobs can neither be shown nor changed until it is back. Look whether it runs and whether{" "}
                <code>JOBRT_STORE</code> or <code>MONGODB_URI</code> names it: <Command text="jobrt doctor" />
            </>,
        );
    else if (health.error instanceof ApiError && health.error.status === 0)
        said.push(
            <>
                jobrt does not answer. This page goes on by itself once it is back. <Command text="jobrt doctor" />
            </>,
        );
    else if (health.value && !health.value.ok)
        said.push(
            <>
                No worker is running ({health.value.error ?? "no heartbeat"}
                {health.value.ageMs !== null ? `, last heard ${duration(health.value.ageMs)} ago` : ""}): jobs wait. Start one: <Command text="ROLE=worker jobrt" />
            </>,
        );
    if (!out && state === "reconnecting" && now - feed.lostAt > lostAfterMs && health.value && !health.error)
        said.push(
            <>
                The event stream has been lost for {duration(Math.floor((now - feed.lostAt) / 1000) * 1000)}; it is tried again. What happened meanwhile will be shown. When it stays away: a proxy in
                front has to pass <code>api/telemetry/stream</code> on as it comes (nginx: <code>proxy_buffering off</code>); a browser has six connections for one server, so close other tabs of
                this page; and <code>JOBRT_MAX_STREAMS</code> may be reached. See what it says: <Command text={curl("api/telemetry/stream", guarded, "N")} />
            </>,
        );
    if (!out)
        for (const disk of status.value ? lowDisks(status.value) : [])
            said.push(
                <>
                    {disk} Make room: delete <a href={screenHref(["jobs"], { status: "completed" })}>jobs with their videos</a>, or move other files away.
                </>,
            );
    return (
        <div class="banners" role="alert">
            {said.map((one, index) => (
                <p key={index} class="banner">
                    <span aria-hidden="true">⚠</span> {one}
                </p>
            ))}
        </div>
    );
}
