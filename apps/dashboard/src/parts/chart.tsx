// A line chart, and the same as a table.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useCell } from "../lib/cell";
import { alone, shownRange } from "../lib/series";
import { coloursChanged } from "../lib/theme";
import { utcOf } from "./bits";

export interface Line {
    name: string;
    /** A custom property with its colour. */
    colour: string;
    /** How it is drawn besides the colour, so that it can be told without. */
    dash?: number[];
    values: (number | null)[];
}

export interface Mark {
    at: number;
    text: string;
}

interface Shown {
    title: string;
    /** Seconds since 1970, ascending. */
    times: number[];
    lines: Line[];
    /** Times of which not all is counted. */
    partial?: boolean[];
    marks?: Mark[];
    format: (value: number) => string;
    /** How far apart the values beside its lines may be, ascending. */
    steps: readonly number[];
}

/** Seconds between times on the axis, whose texts are of whole minutes; more than a day's are not shown. */
const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720].map((minutes) => minutes * 60);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockOf = (seconds: number): string => clock.format(new Date(seconds * 1000));
const isoOf = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** The time of day, with UTC in the title. */
function Clock({ at }: { at: number }): JSX.Element {
    return (
        <time dateTime={isoOf(at)} title={utcOf(isoOf(at))}>
            {clockOf(at)}
        </time>
    );
}

/** What the numbers below the plot, which are local, are in UTC. */
function rangeOf(times: readonly number[]): string {
    const [first, last] = [times[0], times[times.length - 1]];
    return first === undefined || last === undefined ? "" : `${utcOf(isoOf(first))} to ${utcOf(isoOf(last))}`;
}

function colour(name: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(shown: Shown, width: number): uPlot.Options {
    const [text, line] = [colour("--quiet"), colour("--line")];
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    return {
        width,
        height: 180,
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        scales: {
            // Of one time alone uPlot itself would make a thousand days.
            x: { range: (plot) => shownRange(plot.data[0], Date.now() / 1000) },
            y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
        },
        axes: [
            { ...axis, space: 80, incrs: timeSteps, values: (_, times) => times.map(clockOf) },
            { ...axis, size: 64, incrs: [...shown.steps], values: (_, values) => values.map(shown.format) },
        ],
        series: [
            {},
            ...shown.lines.map((one) => ({
                label: one.name,
                stroke: colour(one.colour),
                width: 2,
                ...(one.dash ? { dash: one.dash } : {}),
                spanGaps: false,
                points: { show: false, size: 7, fill: colour(one.colour), filter: (plot: uPlot, index: number) => alone(plot.data[index] ?? []) },
            })),
        ],
        hooks: { draw: [(plot) => drawMarks(plot, shown.marks ?? [])] },
    };
}

/** A dashed line where a process was started. */
function drawMarks(plot: uPlot, marks: readonly Mark[]): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--edge");
    ctx.setLineDash([3, 3]);
    for (const mark of marks) {
        // A start in the minute that goes on is later than that minute's place.
        const x = plot.valToPos(Math.min(mark.at, plot.scales["x"]?.max ?? mark.at), "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
    }
    ctx.restore();
}

const data = (shown: Shown): uPlot.AlignedData => [shown.times, ...shown.lines.map((line) => line.values)];

export function Chart(shown: Shown): JSX.Element {
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | null>(null);
    const latest = useRef(shown);
    latest.current = shown;
    const colours = useCell(coloursChanged);
    const shape = shown.lines.map((line) => line.name).join();
    useEffect(() => {
        const element = box.current;
        if (!element) return;
        const made = new uPlot(options(latest.current, element.clientWidth || 300), data(latest.current), element);
        // Marks and texts change with the data, the plot stays.
        made.hooks.draw = [(one) => drawMarks(one, latest.current.marks ?? [])];
        plot.current = made;
        const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 180 }));
        observer.observe(element);
        return () => {
            observer.disconnect();
            made.destroy();
            plot.current = null;
        };
    }, [colours, shape]);
    useEffect(() => plot.current?.setData(data(shown)), [shown.times, shown.lines]);
    return (
        <section class="card" aria-label={shown.title}>
            <h2>{shown.title}</h2>
            <div ref={box} class="chart" aria-hidden="true" title={rangeOf(shown.times)} />
            <div class="chart-legend" aria-hidden="true">
                {shown.lines.map((line) => (
                    <span key={line.name}>
                        <svg width="26" height="8">
                            <line x1="0" y1="4" x2="26" y2="4" class="swatch" style={{ stroke: `var(${line.colour})`, strokeDasharray: line.dash?.join(" ") ?? "none" }} />
                        </svg>{" "}
                        {line.name}
                    </span>
                ))}
                {shown.marks?.length ? <span>┆ start or deploy</span> : null}
            </div>
            <ChartTable shown={shown} />
        </section>
    );
}

function ChartTable({ shown }: { shown: Shown }): JSX.Element {
    const rows = shown.times.map((at, index) => ({ at, partial: shown.partial?.[index] ?? false, values: shown.lines.map((line) => line.values[index] ?? null) })).slice(-60);
    return (
        <details>
            <summary>as a table</summary>
            <div class="table-box chart-table" tabIndex={0} role="region" aria-label={`${shown.title}, as a table`}>
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Time</th>
                            {shown.lines.map((line) => (
                                <th key={line.name} scope="col" class="number">
                                    {line.name}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        {rows.reverse().map((row) => (
                            <tr key={row.at}>
                                <th scope="row">
                                    <Clock at={row.at} />
                                    {row.partial ? <span class="quiet"> partial</span> : null}
                                </th>
                                {row.values.map((value, index) => (
                                    <td key={index} class="number">
                                        {value === null ? "–" : shown.format(value)}
                                    </td>
                                ))}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
            {rows.some((row) => row.partial) ? <p>Partial: more happened in that minute than is counted here.</p> : null}
            {shown.marks?.length ? (
                <p>
                    Starts:{" "}
                    {shown.marks.map((mark, index) => (
                        <span key={index}>
                            {index > 0 ? ", " : ""}
                            <Clock at={mark.at} /> {mark.text}
                        </span>
                    ))}
                </p>
            ) : null}
        </details>
    );
}
