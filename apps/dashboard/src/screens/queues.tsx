import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, type QueueInfo } from "../lib/api";
import { ApiError } from "../lib/ask";
import { useCell } from "../lib/cell";
import { count, duration } from "../lib/format";
import { useLoaded } from "../lib/live";
import { screenHref } from "../lib/route";
import { mayOperate, session, Trouble } from "../parts/bits";
import { tell } from "../parts/dialogs";

/** What an operator looks at first stands first. */
const shownStates = ["queued", "running", "scheduled", "failed", "completed", "canceled"] as const;

export function QueuesScreen(): JSX.Element {
    const queues = useLoaded("queues", () => api.queues(), {
        everyMs: 2000,
        when: (event) => /^(jobs\.|worker\.(job\.(claimed|completed|failed|canceled)|started|stopped)|queue)/.test(event.event),
    });
    return (
        <>
            <h1>Queues</h1>
            <Trouble error={queues.error} />
            {queues.value?.length === 0 ? <p class="card empty">There is no queue yet: the first job makes one, and so does a worker.</p> : null}
            {queues.value && queues.value.length > 0 ? <QueueTable queues={queues.value} reload={queues.reload} /> : null}
        </>
    );
}

function QueueTable({ queues, reload }: { queues: QueueInfo[]; reload: () => void }): JSX.Element {
    const operate = mayOperate(useCell(session));
    return (
        <div class="table-box" role="region" aria-label="Queues" tabIndex={0}>
            <table class="queues">
                <thead>
                    <tr>
                        <th scope="col">Queue</th>
                        <th scope="col">State</th>
                        {shownStates.map((state) => (
                            <th key={state} scope="col" class="number">
                                {state}
                            </th>
                        ))}
                        <th scope="col" class="number">
                            Oldest waits
                        </th>
                        <th scope="col" class="number">
                            Workers
                        </th>
                    </tr>
                </thead>
                <tbody>
                    {queues.map((queue) => (
                        <Row key={queue.queue} queue={queue} operate={operate} reload={reload} />
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Row({ queue, operate, reload }: { queue: QueueInfo; operate: boolean; reload: () => void }): JSX.Element {
    const [busy, setBusy] = useState(false);
    const change = async (): Promise<void> => {
        setBusy(true);
        try {
            await api.pauseQueue(queue.queue, !queue.paused);
            tell(queue.paused ? `Queue ${queue.queue} goes on` : `Queue ${queue.queue} is paused: what runs ends, nothing new begins`);
        } catch (error) {
            tell(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error), true);
        }
        setBusy(false);
        reload();
    };
    return (
        <tr>
            <th scope="row">
                <a href={screenHref(["jobs"], { queue: queue.queue })}>{queue.queue}</a>
            </th>
            <td>
                <span class={`badge is-${queue.paused ? "scheduled" : "completed"}`}>
                    <span aria-hidden="true">{queue.paused ? "❚❚" : "✓"}</span> {queue.paused ? "paused" : "open"}
                </span>{" "}
                {operate ? (
                    <button type="button" class="small" disabled={busy} onClick={() => void change()} aria-label={`${queue.paused ? "Resume" : "Pause"} queue ${queue.queue}`}>
                        {queue.paused ? "Resume" : "Pause"}
                    </button>
                ) : null}
            </td>
            {shownStates.map((state) => (
                <td key={state} class="number">
                    {queue.counts[state] ? <a href={screenHref(["jobs"], { queue: queue.queue, status: state })}>{count(queue.counts[state])}</a> : "0"}
                </td>
            ))}
            <td class="number">{queue.oldestDueMs === null ? "–" : duration(queue.oldestDueMs)}</td>
            <td class="number">
                {queue.workers}
                {/* Workers need not say how many they run at once. */}
                <div class="quiet">{queue.workers > 0 && queue.concurrency === 0 ? "–" : `${queue.concurrency} at once`}</div>
            </td>
        </tr>
    );
}
