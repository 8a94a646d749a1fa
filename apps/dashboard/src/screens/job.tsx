import { Fragment, type ComponentChildren, type JSX } from "preact";
import { useState } from "preact/hooks";
import { actionWords, mayDo, perform } from "../lib/actions";
import { api, type Action, type Job, type LogEvent } from "../lib/api";
import { ApiError } from "../lib/ask";
import { useCell } from "../lib/cell";
import { bytes, duration, plural, shortId } from "../lib/format";
import { textOf } from "../lib/json";
import { useKeys } from "../lib/keys";
import { useLoaded, useNow } from "../lib/live";
import { eventsOfJob, type JobEvents } from "../lib/older";
import { go, screenHref } from "../lib/route";
import { logByAttempt, pace, timeline } from "../lib/timeline";
import { filterBy } from "../lib/watching";
import { fieldsOf, remedyFor, wordsOf } from "../lib/words";
import { Badge, Bar, Command, Copy, JsonView, mayOperate, session, Trouble, When, Why } from "../parts/bits";
import { confirm, tell } from "../parts/dialogs";
import { notWhole, Timeline } from "../parts/timeline";

export function JobScreen({ id }: { id: string }): JSX.Element {
    const mine = (event: LogEvent): boolean => event.jobId === id;
    const loaded = useLoaded(`job ${id}`, () => api.job(id), { everyMs: 10_000, when: mine, atMostMs: 400 });
    const told = useLoaded(`events ${id}`, () => eventsOfJob(id), { everyMs: 60_000, when: mine, atMostMs: 700 });
    const job = loaded.value;
    if (!job)
        return (
            <>
                <h1>Job</h1>
                {loaded.error?.code === "JOB_NOT_FOUND" ? (
                    <p class="card empty" role="alert">
                        There is no job {id}. It may have been deleted.
                    </p>
                ) : (
                    <Trouble error={loaded.error} />
                )}
                {loaded.error ? null : (
                    <p class="quiet" role="status">
                        Loading…
                    </p>
                )}
            </>
        );
    return <JobView job={job} told={told.value ?? { events: [], whole: true }} error={loaded.error} reload={loaded.reload} />;
}

function JobView({ job, told, error, reload }: { job: Job; told: JobEvents; error: ApiError | undefined; reload: () => void }): JSX.Element {
    const now = useNow(job.status === "running" ? 500 : 1000);
    const { events, whole } = told;
    return (
        <article aria-label={`Job ${job.id}`}>
            <header class="job-head">
                <h1>
                    <span class="quiet">{job.kind}</span> {job.url || shortId(job.id)}
                </h1>
                <div class="row">
                    <Badge state={job.status} />
                    {job.cancelRequestedAt && job.status === "running" ? <span class="badge is-other">asked to stop</span> : null}
                    <Actions job={job} reload={reload} />
                </div>
            </header>
            <Trouble error={error} />
            {job.waitingFor ? (
                <p class="card waits">
                    <strong>Waits:</strong> <Why job={job} />
                </p>
            ) : null}
            <Failure job={job} />
            <Progress job={job} events={events} now={now} />
            {job.status === "completed" && job.outputPath ? <Player job={job} /> : null}
            <Timeline lines={timeline(job, events, now, attemptOf)} whole={whole} />
            <Facts job={job} />
            <Attempts job={job} />
            <Logs events={events} whole={whole} />
            <JsonView title="Payload" value={job.payload} />
            {job.result !== null ? <JsonView title="Result" value={job.result} /> : null}
        </article>
    );
}

const attemptOf = (event: LogEvent): number => Number(fieldsOf(event)["attempt"] ?? 0);

function Actions({ job, reload }: { job: Job; reload: () => void }): JSX.Element | null {
    const operate = mayOperate(useCell(session));
    const [busy, setBusy] = useState(false);
    const act = async (action: Action, byKey = false): Promise<void> => {
        if (busy || !mayDo(action, job)) return;
        const title = `${actionWords[action].name} this job?`;
        if (action === "delete") {
            const what = job.outputPath ? "Its saved video is deleted too. This cannot be undone." : "This cannot be undone.";
            if (!(await confirm(title, what, "Delete", true))) return;
        }
        // A key is soon pressed, and what it would undo may have taken hours.
        if (byKey && job.status === "completed" && !(await confirm("Run this job again?", "It is completed. It keeps its finished steps.", "Run again"))) return;
        if (byKey && job.status === "running" && !(await confirm("Cancel this job?", "It runs, and is asked to stop.", "Cancel the job"))) return;
        setBusy(true);
        try {
            await perform(action, job.id);
            tell(action === "cancel" && job.status === "running" ? "Asked to stop" : `The job is ${actionWords[action].done}`);
            if (action === "delete") return go(screenHref(["jobs"]));
        } catch (error) {
            tell(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error), true);
        }
        setBusy(false);
        reload();
    };
    useKeys(operate ? { r: () => void act("retry", true), c: () => void act("cancel", true) } : {});
    if (!operate) return null;
    const retryName = job.status === "scheduled" ? "Run now" : job.status === "completed" ? "Run again" : "Retry";
    return (
        <>
            {mayDo("retry", job) ? (
                <button type="button" disabled={busy} onClick={() => void act("retry")} aria-keyshortcuts="r">
                    {retryName}
                </button>
            ) : null}
            {mayDo("cancel", job) ? (
                <button type="button" disabled={busy || job.cancelRequestedAt !== null} onClick={() => void act("cancel")} aria-keyshortcuts="c">
                    Cancel
                </button>
            ) : null}
            {mayDo("delete", job) ? (
                <button type="button" class="danger" disabled={busy} onClick={() => void act("delete")}>
                    Delete
                </button>
            ) : null}
        </>
    );
}

function Failure({ job }: { job: Job }): JSX.Element | null {
    if (!job.errorCode && !job.error) return null;
    const remedy = remedyFor(job.errorCode ?? "", textOf(job.payload, "platform") ?? "");
    return (
        <div class="card trouble" role="group" aria-label="Last error">
            <p>
                <strong>{job.errorCode}</strong> {job.error}
            </p>
            {remedy ? (
                <p>
                    What helps: <Command text={remedy} />
                </p>
            ) : null}
        </div>
    );
}

function Progress({ job, events, now }: { job: Job; events: readonly LogEvent[]; now: number }): JSX.Element | null {
    if (job.status !== "running") return null;
    const points = [];
    for (const event of events) {
        if (event.event !== "worker.job.download.progress") continue;
        const fields = fieldsOf(event);
        if (typeof fields["bytes"] !== "number" || fields["attempt"] !== job.attempt) continue;
        points.push({ at: Date.parse(event.ts), bytes: fields["bytes"], total: typeof fields["totalBytes"] === "number" ? fields["totalBytes"] : null });
    }
    const speed = pace(points);
    const { percent, stage, message } = job.progress;
    const words = [
        stage,
        percent === null ? null : `${Math.round(percent)} %`,
        message,
        speed ? `${bytes(speed.perSecond)}/s` : null,
        speed && speed.leftMs !== null ? `${duration(speed.leftMs)} left` : null,
        job.startedAt ? `runs for ${duration(now - Date.parse(job.startedAt))}` : null,
    ];
    return (
        <section class="card" aria-label="Progress">
            <Bar percent={percent} label="Progress of this job" />
            <p>{words.filter(Boolean).join(" · ")}</p>
        </section>
    );
}

function Player({ job }: { job: Job }): JSX.Element {
    const file = api.fileAddress(job.outputPath ?? "");
    const title = textOf(job.result, "title");
    return (
        <section class="card player" aria-label="Saved video">
            {/* What was saved may have no captions to offer. */}
            <video src={file} controls preload="metadata" {...(job.thumbnailPath ? { poster: api.fileAddress(job.thumbnailPath) } : {})} aria-label={title || "The saved video"} />
            <p class="row">
                {title ? <strong>{title}</strong> : null}
                <a href={file} download="">
                    Download
                </a>
                {job.canonicalUrl ? <SafeLink url={job.canonicalUrl}>The page it came from</SafeLink> : null}
            </p>
        </section>
    );
}

/** A link to a page of the web; other schemes stay text. */
function SafeLink({ url, children }: { url: string; children: ComponentChildren }): JSX.Element {
    if (!/^https?:\/\//i.test(url)) return <span>{url}</span>;
    return (
        <a href={url} rel="noreferrer noopener" target="_blank">
            {children}
        </a>
    );
}

function Facts({ job }: { job: Job }): JSX.Element {
    const facts: [string, ComponentChildren][] = [
        ["Id", <Id text={job.id} what="the job id" />],
        ["Trace", job.traceId ? <Id text={job.traceId} what="the trace id" filter={() => filterBy({ trace: job.traceId ?? "" })} /> : "–"],
        ["Queue", <a href={screenHref(["jobs"], { queue: job.queue })}>{job.queue}</a>],
        ["Priority", job.priority],
        ["Attempt", `${job.attempt} of ${job.maxAttempts}`],
        ["Created", <When at={job.createdAt} />],
        ["Not before", <When at={job.runAt} />],
        ["Started", <When at={job.startedAt} />],
        ["Ended", <When at={job.finishedAt} />],
    ];
    if (job.crashes) facts.push(["Lost workers", job.crashes]);
    if (job.workerId && job.status === "running") facts.push(["Worker", <a href={screenHref(["workers"])}>{shortId(job.workerId)}</a>]);
    if (job.uniqueKey) facts.push(["Unique key", <span class="wrap">{job.uniqueKey}</span>]);
    if (job.url) facts.push(["Address", <SafeLink url={job.url}>{job.url}</SafeLink>]);
    if (job.tags.length > 0)
        facts.push([
            "Tags",
            job.tags.map((tag) => (
                <a key={tag} class="tag" href={screenHref(["jobs"], { tag })}>
                    {tag}
                </a>
            )),
        ]);
    return (
        <section class="card" aria-label="Facts">
            <dl class="facts">
                {facts.map(([name, value]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd>{value}</dd>
                    </div>
                ))}
            </dl>
            <p class="row">
                <button type="button" class="small" onClick={() => filterBy({ job: job.id })}>
                    Show its activity
                </button>
                {job.traceId ? (
                    <a class="button small" href={screenHref(["jobs"], { trace: job.traceId })}>
                        Jobs of this trace
                    </a>
                ) : null}
            </p>
        </section>
    );
}

function Id({ text, what, filter }: { text: string; what: string; filter?: () => void }): JSX.Element {
    return (
        <span class="row">
            {filter ? (
                <button type="button" class="id wrap" title="Filter the activity by it" onClick={filter}>
                    {text}
                </button>
            ) : (
                <code class="wrap">{text}</code>
            )}
            <Copy text={text} what={what} />
        </span>
    );
}

function Attempts({ job }: { job: Job }): JSX.Element | null {
    if (job.errors.length === 0) return null;
    return (
        <section class="card" aria-label="Errors">
            <h2>{plural(job.errors.length, "error")}</h2>
            <div class="table-box" tabIndex={0} role="region" aria-label="Errors by attempt">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Attempt</th>
                            <th scope="col">When</th>
                            <th scope="col">Code</th>
                            <th scope="col">What happened</th>
                        </tr>
                    </thead>
                    <tbody>
                        {[...job.errors].reverse().map((error) => (
                            <tr key={`${error.attempt} ${error.at}`}>
                                <td>{error.attempt}</td>
                                <td>
                                    <When at={error.at} />
                                </td>
                                <td>
                                    <code>{error.code}</code>
                                </td>
                                <td class="wrap">{error.message}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
        </section>
    );
}

function Logs({ events, whole }: { events: readonly LogEvent[]; whole: boolean }): JSX.Element | null {
    const attempts = logByAttempt(events, attemptOf);
    if (attempts.length === 0) return null;
    return (
        <section class="card" aria-label="Log">
            <h2>Log</h2>
            {whole ? null : <p class="quiet">{notWhole}</p>}
            {attempts.map(({ attempt, lines }) => (
                <Fragment key={attempt}>
                    {/* Where its first events are not kept, nothing may say which one it was. */}
                    {attempt > 0 ? <h3>Attempt {attempt}</h3> : null}
                    <pre tabIndex={0}>
                        {lines.map((line) => (
                            <span key={line.id}>
                                <When at={line.ts} /> {line.level} {wordsOf(line)}
                                {"\n"}
                            </span>
                        ))}
                    </pre>
                </Fragment>
            ))}
        </section>
    );
}
