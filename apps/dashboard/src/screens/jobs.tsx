import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { actionWords, mayDo } from "../lib/actions";
import { api, jobStates, type Action, type Job, type JobFilter, type JobPage } from "../lib/api";
import { useCell } from "../lib/cell";
import { count, duration, plural, shortId } from "../lib/format";
import { useKeys } from "../lib/keys";
import { useLoaded, useNow } from "../lib/live";
import { changeQuery, go, route, screenHref } from "../lib/route";
import { spansOf } from "../lib/timeline";
import { AddressField, Ago, Badge, Bar, Copy, curl, mayOperate, session, Trouble, Why } from "../parts/bits";
import { changeMany, changeMatching } from "../parts/bulk";

const pageSizes = ["50", "100", "200", "500"];
/** Names in the address, and those of the API's query. */
const filterNames = { q: "text", kind: "kind", queue: "queue", tag: "tag", trace: "traceId", code: "errorCode" } as const;
type FilterName = keyof typeof filterNames;
const filterLabels: Record<FilterName, string> = { q: "Text", kind: "Kind", queue: "Queue", tag: "Tag", trace: "Trace id", code: "Error code" };

const allFilters = Object.keys(filterNames) as FilterName[];

export function filterOf(query: URLSearchParams): JobFilter {
    const filter: JobFilter = {};
    const status = query.get("status");
    if (status) filter.status = status;
    for (const name of allFilters) {
        const value = query.get(name);
        if (value) filter[filterNames[name]] = value;
    }
    return filter;
}

const touchesJobs = (event: { event: string }): boolean =>
    (event.event.startsWith("jobs.") || event.event.startsWith("worker.job.")) && !event.event.endsWith(".log");

export function JobsScreen(): JSX.Element {
    const { query } = useCell(route);
    const filter = filterOf(query);
    const limit = Number(query.get("limit") ?? 50) || 50;
    const cursor = query.get("cursor") ?? "";
    const key = JSON.stringify([filter, limit, cursor]);
    const page = useLoaded(key, (signal) => api.jobs(filter, limit, cursor, signal), { everyMs: 5000, when: touchesJobs, atMostMs: 1000 });
    return (
        <>
            <h1>Jobs</h1>
            <StateTabs filter={filter} />
            <Filters query={query} />
            <Trouble error={page.error} />
            {page.value ? (
                <>
                    <JobTable key={key} page={page.value} filter={filter} further={cursor !== ""} reload={page.reload} />
                    {endsShort(page.value, limit) ? (
                        <p class="quiet" role="status">
                            This page ends early: not all older jobs were looked at. “Older” goes on from here.
                        </p>
                    ) : null}
                </>
            ) : page.error ? null : (
                <p class="quiet" role="status">
                    Loading…
                </p>
            )}
            <Pager query={query} next={page.value?.nextCursor ?? null} />
        </>
    );
}

/** The server looks at so many jobs for one page, and says by the cursor that there are more. */
const endsShort = (page: JobPage, limit: number): boolean => page.nextCursor !== null && page.jobs.length + (page.unreadable?.length ?? 0) < limit;

function StateTabs({ filter }: { filter: JobFilter }): JSX.Element {
    // Words are looked for job by job, and counted only when it matters.
    const counted = !filter.text; // By words each job would have to be looked at.
    const { status: _, ...others } = filter;
    const counts = useLoaded(`counts ${counted} ${JSON.stringify(others)}`, () => (counted ? api.counts(others) : Promise.resolve(null)), {
        everyMs: 5000,
        when: touchesJobs,
        atMostMs: 2000,
    }).value;
    const chosen = filter.status ?? "";
    const countOf = (state: string): string => {
        const n = Object.entries(counts?.counts ?? {}).reduce((sum, [name, of]) => (state && name !== state ? sum : sum + of), 0);
        return count(n) + (counts?.nextCursor === null ? "" : "+");
    };
    const tab = (name: string, state: string): JSX.Element => (
        <button
            key={state}
            type="button"
            class={`tab is-${state || "all"}`}
            aria-pressed={chosen === state}
            onClick={() => changeQuery({ status: state, cursor: "" })}
        >
            {name} {counts ? <span class="count" title={counts.nextCursor === null ? undefined : "At least so many: there are more jobs than were looked at"}>{countOf(state)}</span> : null}
        </button>
    );
    return (
        <div class="tabs" role="group" aria-label="State">
            {tab("all", "")}
            {jobStates.map((state) => tab(state, state))}
        </div>
    );
}

function Filters({ query }: { query: URLSearchParams }): JSX.Element {
    const set = allFilters.some((name) => query.get(name));
    const form = useRef<HTMLFormElement>(null);
    const apply = (): void => {
        if (!form.current) return;
        const values = new FormData(form.current);
        const changes: Record<string, string> = { cursor: "" };
        for (const name of allFilters) changes[name] = String(values.get(name) ?? "").trim();
        changeQuery(changes);
    };
    return (
        <form
            class="filters row"
            role="search"
            aria-label="Filter jobs"
            ref={form}
            onSubmit={(event) => {
                event.preventDefault();
                apply();
            }}
        >
            {allFilters.map((name) => (
                <label key={name}>
                    <span>{filterLabels[name]}</span>
                    <AddressField name={name} value={query.get(name) ?? ""} at={query} autocomplete="off" />
                </label>
            ))}
            <button class="small">Filter</button>
            {set ? (
                <a class="button small" href={screenHref(["jobs"])} onClick={() => form.current?.querySelectorAll("input").forEach((field) => (field.value = ""))}>
                    Clear
                </a>
            ) : null}
        </form>
    );
}

function Pager({ query, next }: { query: URLSearchParams; next: string | null }): JSX.Element {
    const limit = query.get("limit") ?? "50";
    return (
        <nav class="row pager" aria-label="Pages">
            <button type="button" disabled={!query.get("cursor")} onClick={() => changeQuery({ cursor: "" })}>
                Newest
            </button>
            <button type="button" disabled={!next} onClick={() => changeQuery({ cursor: next ?? "" })}>
                Older
            </button>
            <label>
                per page{" "}
                <select value={limit} onChange={(event) => changeQuery({ limit: event.currentTarget.value === "50" ? "" : event.currentTarget.value, cursor: "" })}>
                    {pageSizes.map((size) => (
                        <option key={size}>{size}</option>
                    ))}
                </select>
            </label>
        </nav>
    );
}

/** `further`: there is a page before this one. */
function JobTable({ page, filter, further, reload }: { page: JobPage; filter: JobFilter; further: boolean; reload: () => void }): JSX.Element {
    const now = useNow();
    const operate = mayOperate(useCell(session));
    const { jobs } = page;
    const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
    // By ids, not by places: new jobs come in on top, and a key must not act on another one then.
    const [here, setHere] = useState("");
    const anchor = useRef("");
    const placeOf = (id: string): number => jobs.findIndex((job) => job.id === id);
    const at = placeOf(here);
    // Where the keys were last: a job that was retried may leave the list, and they go on where it was.
    const place = useRef(-1);
    if (at >= 0) place.current = at;
    const body = useRef<HTMLTableSectionElement>(null);
    const chosen = jobs.filter((job) => picked.has(job.id));

    const toggle = (index: number, range: boolean): void => {
        const next = new Set(picked);
        const on = !picked.has(jobs[index]?.id ?? "");
        const anchored = placeOf(anchor.current);
        const from = range && anchored >= 0 ? anchored : index;
        for (let i = Math.min(from, index); i <= Math.max(from, index); ++i) {
            const id = jobs[i]?.id;
            if (id && on) next.add(id);
            else if (id) next.delete(id);
        }
        anchor.current = jobs[index]?.id ?? "";
        setPicked(next);
    };
    const act = async (action: Action): Promise<void> => {
        const current = jobs[at];
        const targets = chosen.length > 0 ? chosen : current ? [current] : [];
        if (targets.length > 0 && (await changeMany(action, targets))) {
            setPicked(new Set());
            reload();
        }
    };
    const move = (by: number): void => {
        const gone = by > 0 ? place.current - 1 : place.current;
        setHere((old) => jobs[Math.max(0, Math.min(jobs.length - 1, (placeOf(old) >= 0 ? placeOf(old) : gone) + by))]?.id ?? "");
    };
    // At once, not after the next picture: a key pressed in between would be undone by a focus that comes late.
    useLayoutEffect(() => {
        if (at >= 0) body.current?.querySelectorAll<HTMLElement>("a.job-link")[at]?.focus();
    }, [here]);
    useKeys({
        j: () => move(1),
        k: () => move(-1),
        Enter: () => jobs[at] && go(screenHref(["jobs", jobs[at]?.id ?? ""])),
        ...(operate
            ? { x: () => at >= 0 && toggle(at, false), X: () => at >= 0 && toggle(at, true), r: () => void act("retry"), c: () => void act("cancel"), Escape: () => setPicked(new Set()) }
            : {}),
    });

    const damaged = page.unreadable?.length ? <p class="trouble">{plural(page.unreadable.length, "job")} here cannot be read: the stored data is damaged.</p> : null;
    if (jobs.length === 0) return damaged ?? (page.nextCursor === null ? <NoJobs filter={filter} /> : <p class="card empty">No match so far.</p>);
    const all = chosen.length === jobs.length;
    return (
        <>
            {operate ? <Selection chosen={chosen} filter={filter} act={act} more={page.nextCursor !== null || further || all} /> : null}
            {damaged}
            <div class="table-box" role="region" aria-label="Jobs" tabIndex={0}>
                <table class="jobs">
                    <thead>
                        <tr>
                            {operate ? (
                                <th scope="col">
                                    <input type="checkbox" aria-label="Select all on this page" checked={all} onChange={() => setPicked(new Set(all ? [] : jobs.map((job) => job.id)))} />
                                </th>
                            ) : null}
                            <th scope="col">State</th>
                            <th scope="col">Job</th>
                            <th scope="col">Queue</th>
                            <th scope="col" class="number">
                                Attempt
                            </th>
                            <th scope="col">Created</th>
                            <th scope="col" class="number">
                                Waited
                            </th>
                            <th scope="col" class="number">
                                Ran
                            </th>
                        </tr>
                    </thead>
                    <tbody ref={body}>
                        {jobs.map((job, index) => (
                            <Row key={job.id} job={job} now={now} here={index === at} picked={picked.has(job.id)} toggle={operate ? (range) => toggle(index, range) : null} onFocus={() => setHere(job.id)} />
                        ))}
                    </tbody>
                </table>
            </div>
        </>
    );
}

function Selection({ chosen, filter, act, more }: { chosen: Job[]; filter: JobFilter; act: (action: Action) => Promise<void>; more: boolean }): JSX.Element {
    return (
        <div class="row selection" role="group" aria-label="Selection">
            <span role="status">{chosen.length > 0 ? `${count(chosen.length)} selected` : "None selected"}</span>
            {(["retry", "cancel", "delete"] as const).map((action) => {
                const fitting = chosen.filter((job) => mayDo(action, job)).length;
                return (
                    <button key={action} type="button" class={action === "delete" ? "danger" : ""} disabled={fitting === 0} onClick={() => void act(action)}>
                        {actionWords[action].name} {fitting > 0 ? count(fitting) : ""}
                    </button>
                );
            })}
            {more && Object.keys(filter).length > 0 ? (
                <span class="row">
                    <span class="quiet">all matching:</span>
                    {(["retry", "cancel", "delete"] as const).map((action) => (
                        <button key={action} type="button" class="small" onClick={() => void changeMatching(action, filter)}>
                            {actionWords[action].name} all…
                        </button>
                    ))}
                </span>
            ) : null}
        </div>
    );
}

function Row({ job, now, here, picked, toggle, onFocus }: {
    job: Job;
    now: number;
    here: boolean;
    picked: boolean;
    toggle: ((range: boolean) => void) | null;
    onFocus: () => void;
}): JSX.Element {
    const { waited, ran } = spansOf(job, now);
    return (
        <tr class={`${here ? "is-here" : ""} ${picked ? "is-picked" : ""}`}>
            {toggle ? (
                <td>
                    <input type="checkbox" aria-label={`Select job ${job.id}`} checked={picked} onClick={(event) => toggle(event.shiftKey)} />
                </td>
            ) : null}
            <td>
                <Badge state={job.status} />
                {job.status === "running" && job.progress.percent !== null ? <Bar percent={job.progress.percent} label={`Progress of job ${job.id}`} /> : null}
            </td>
            <td class="job-name">
                <a class="job-link" href={screenHref(["jobs", job.id])} onFocus={onFocus}>
                    {job.url || job.kind}
                </a>
                <div class="quiet">
                    <span title={job.id}>{shortId(job.id)}</span>
                    {job.url ? ` · ${job.kind}` : ""}
                    {job.tags.map((tag) => (
                        <a key={tag} class="tag" href={screenHref(["jobs"], { tag })}>
                            {tag}
                        </a>
                    ))}
                    {job.errorCode ? <span class="code"> · {job.errorCode}</span> : null}
                    {job.waitingFor && job.status !== "running" ? (
                        <>
                            {" · "}
                            <Why job={job} />
                        </>
                    ) : null}
                </div>
            </td>
            <td>{job.queue}</td>
            <td class="number">
                {job.attempt} of {job.maxAttempts}
            </td>
            <td>
                <Ago at={job.createdAt} now={now} />
            </td>
            <td class="number">{waited === null ? "–" : duration(waited)}</td>
            <td class="number">{ran === null ? "–" : duration(ran)}</td>
        </tr>
    );
}

function NoJobs({ filter }: { filter: JobFilter }): JSX.Element {
    if (Object.keys(filter).length > 0) return <p class="card empty">No job matches these filters.</p>;
    return <EmptyStart />;
}

/** How to begin, with the address of this very server. */
export function EmptyStart(): JSX.Element {
    const command = `${curl("api/jobs", useCell(session)?.guarded ?? false)} -H 'content-type: application/json' -d '{"kind":"demo.echo","payload":{"text":"hello"}}'`;
    return (
        <section class="card empty" aria-label="No jobs yet">
            <h2>No jobs yet</h2>
            <p>Paste an address on the home screen, or put in a job by the API:</p>
            <pre tabIndex={0} id="first-curl">
                {command}
            </pre>
            <Copy text={command} what="the command" />
        </section>
    );
}
