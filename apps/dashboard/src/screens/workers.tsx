import type { JSX } from "preact";
import { api, type WorkerInfo } from "../lib/api";
import { duration, shortId } from "../lib/format";
import { useLoaded } from "../lib/live";
import { Command, Trouble, When } from "../parts/bits";

const touchesWorkers = (event: { event: string }): boolean => event.event.startsWith("worker.started") || event.event.startsWith("worker.stopped");

export function WorkersScreen(): JSX.Element {
    const workers = useLoaded("workers", () => api.workers(), { everyMs: 2000, when: touchesWorkers });
    return (
        <>
            <h1>Workers</h1>
            <Trouble error={workers.error} />
            {workers.value?.length === 0 ? (
                <p class="card empty">
                    No worker is running. Start one: <Command text="ROLE=worker jobrt" />
                </p>
            ) : null}
            {workers.value && workers.value.length > 0 ? <WorkerTable workers={workers.value} /> : null}
        </>
    );
}

/** A thing that a worker misses, as it says it. */
function missingText(missing: unknown): string {
    if (typeof missing === "string") return missing;
    if (typeof missing === "object" && missing !== null) return Object.values(missing).map(String).join(": ");
    return String(missing);
}

function WorkerTable({ workers }: { workers: WorkerInfo[] }): JSX.Element {
    return (
        <div class="table-box" role="region" aria-label="Workers" tabIndex={0}>
            <table>
                <thead>
                    <tr>
                        <th scope="col">State</th>
                        <th scope="col">Worker</th>
                        <th scope="col">Role</th>
                        <th scope="col" class="number">
                            Running
                        </th>
                        <th scope="col">Queues and places</th>
                        <th scope="col">Kinds</th>
                        <th scope="col" class="number">
                            Last beat
                        </th>
                    </tr>
                </thead>
                <tbody>
                    {workers.map((worker) => (
                        <tr key={worker.id}>
                            <td>
                                <span class={`badge is-${worker.live ? "completed" : "failed"}`}>
                                    <span aria-hidden="true">{worker.live ? "✓" : "✕"}</span> {worker.live ? "lives" : "silent"}
                                </span>
                            </td>
                            <td class="who">
                                {worker.host} · pid {worker.pid}
                                <div class="quiet" title={worker.id}>
                                    {shortId(worker.id)} · version {worker.version}
                                </div>
                                <div class="quiet">
                                    up since <When at={worker.startedAt} />
                                </div>
                                {worker.details.missing?.map((one) => (
                                    <div key={missingText(one)} class="code">
                                        misses {missingText(one)}
                                    </div>
                                ))}
                            </td>
                            <td>{worker.role}</td>
                            <td class="number">{worker.running}</td>
                            <td>
                                {worker.queues.length === 0 ? "every queue" : null}
                                {worker.queues.map((queue) => (
                                    <div key={queue}>
                                        {queue}
                                        <span class="quiet"> · {worker.details.concurrency?.[queue] ?? "?"} at once</span>
                                    </div>
                                ))}
                            </td>
                            <td>{worker.kinds.join(", ") || "every kind"}</td>
                            <td class="number">{duration(worker.beatAgeMs)} ago</td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}
