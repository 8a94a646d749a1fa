import type { JSX } from "preact";
import { api } from "../lib/api";
import { useLoaded, useNow } from "../lib/live";
import { screenHref } from "../lib/route";
import { Ago, Badge, Trouble } from "../parts/bits";
import { Submit } from "../parts/submit";
import { EmptyStart } from "./jobs";

export function HomeScreen(): JSX.Element {
    return (
        <>
            <h1>Home</h1>
            <Submit />
            <Latest />
        </>
    );
}

const touchesStates = (event: { event: string }): boolean => /^(jobs\.|worker\.job\.(claimed|completed|failed|canceled|retry))/.test(event.event);

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
