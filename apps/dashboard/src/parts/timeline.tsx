import type { JSX } from "preact";
import { duration } from "../lib/format";
import type { AttemptLine, Phase } from "../lib/timeline";

const names: Record<Phase["name"], string> = {
    waited: "waited",
    ran: "ran",
    extraction: "extraction",
    download: "download",
    publish: "publishing",
};

const mostLines = 30;
export const notWhole = "Not all of its events are shown; History has them.";

/** Bars on one scale, and the same as a table; of many attempts the last ones. */
export function Timeline({ lines: everything, whole }: { lines: AttemptLine[]; whole: boolean }): JSX.Element | null {
    const lines = everything.slice(-mostLines);
    const all = lines.flatMap((line) => line.phases);
    // Most kinds have no phases of their own, and on a narrow screen each column counts.
    const shown = (Object.keys(names) as Phase["name"][]).filter((name) => name === "waited" || name === "ran" || all.some((phase) => phase.name === name));
    if (all.length === 0) return null;
    const from = Math.min(...all.map((phase) => phase.from));
    const to = Math.max(...all.map((phase) => phase.to), from + 1);
    const share = (ms: number): string => `${(ms / (to - from)) * 100}%`;
    return (
        <section class="card" aria-label="Timeline">
            <h2>Timeline</h2>
            {everything.length > mostLines ? <p class="quiet">The last {mostLines} of {everything.length} attempts.</p> : null}
            {whole ? null : <p class="quiet">{notWhole}</p>}
            <div class="timeline" aria-hidden="true">
                {lines.map((line, index) => (
                    <div key={index} class="timeline-line">
                        {line.phases.map((phase) => (
                            <span
                                key={phase.name}
                                class={`phase is-${phase.name} ${phase.open ? "is-open" : ""}`}
                                style={{ left: share(phase.from - from), width: share(phase.to - phase.from) }}
                            />
                        ))}
                    </div>
                ))}
            </div>
            <div class="table-box" tabIndex={0} role="region" aria-label="Phases by attempt">
                <table class="phases">
                    <thead>
                        <tr>
                            <th scope="col">Attempt</th>
                            {shown.map((name) => (
                                <th key={name} scope="col" class="number">
                                    <span class={`key is-${name}`} aria-hidden="true" /> {names[name]}
                                </th>
                            ))}
                            <th scope="col">End</th>
                        </tr>
                    </thead>
                    <tbody>
                        {lines.map((line, index) => (
                            <tr key={index}>
                                <td>{line.attempt}</td>
                                {shown.map((name) => {
                                    const of = line.phases.filter((phase) => phase.name === name);
                                    return (
                                        <td key={name} class="number">
                                            {of.length ? duration(of.reduce((sum, phase) => sum + phase.to - phase.from, 0)) : "–"}
                                        </td>
                                    );
                                })}
                                <td>{line.ending || "goes on"}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
        </section>
    );
}
