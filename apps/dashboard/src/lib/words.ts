// Events in plain words.
import type { Disk, LogEvent, Status } from "./api";
import { bytes } from "./format";
import { Digits, isObject, lineOfJson, parseJson, type Json } from "./json";

type Fields = { [name: string]: Json };

/** Of events that were looked at lately; kept for all of a long history they would take more room than the events. */
const fieldCache = new Map<LogEvent, Fields>();
const mostCached = 2_000;

/** What the event says besides id, time and level, with every digit. */
export function fieldsOf(event: LogEvent): Fields {
    let fields = fieldCache.get(event);
    if (!fields) {
        let value: Json = {};
        try {
            value = parseJson(event.text);
        } catch {
            // What cannot be read has no fields; its text is shown as it is.
        }
        fields = isObject(value) ? value : {};
        if (fieldCache.size >= mostCached) fieldCache.clear();
        fieldCache.set(event, fields);
    }
    return fields;
}

function said(value: Json | undefined): string {
    if (value === undefined || value === null) return "";
    if (value instanceof Digits) return value.text;
    // An object of parseJson has no prototype: String() would throw.
    return typeof value === "object" ? lineOfJson(value) : String(value);
}

function attempt(fields: Fields): string {
    const number = said(fields["attempt"]);
    return number && number !== "1" ? ` (attempt ${number})` : "";
}

function why(fields: Fields): string {
    const code = said(fields["code"]);
    const error = said(fields["error"]) || said(fields["message"]) || said(fields["reason"]);
    return [code, error].filter(Boolean).join(": ");
}

function colon(text: string): string {
    return text ? `: ${text}` : "";
}

function progress(fields: Fields): string {
    const percent = fields["percent"];
    const parts = [
        said(fields["stage"]),
        typeof percent === "number" ? `${Math.round(percent)} %` : "",
        said(fields["message"]),
    ];
    return parts.filter(Boolean).join(", ");
}

function download(fields: Fields): string {
    const [done, all, percent] = [fields["bytes"], fields["totalBytes"], fields["percent"]];
    const parts = [];
    if (typeof percent === "number") parts.push(`${Math.round(percent)} %`);
    if (typeof done === "number") parts.push(typeof all === "number" && all > 0 ? `${bytes(done)} of ${bytes(all)}` : bytes(done));
    return parts.join(", ");
}

const sentences: Record<string, (fields: Fields) => string> = {
    "jobs.create.queued": (f) => `Submitted: ${said(f["kind"])} in queue ${said(f["queue"])}`,
    "jobs.create.duplicate": () => "Refused: the same job is there already",
    "jobs.create.replaced": () => "Submitted in place of one that waited",
    "jobs.promoted": () => "Its time has come; queued",
    "jobs.retried": () => "Queued again by an operator",
    "jobs.deleted": (f) => `Deleted; it was ${said(f["status"]) || "there"}`,
    "jobs.moved": (f) => `Moved to queue ${said(f["queue"])}`,
    "jobs.reprioritised": () => "Priority changed",
    "jobs.restored": () => "Restored from another store",
    "jobs.cancel.requested": () => "Asked to stop",
    "worker.started": (f) => `A worker started, for ${said(f["queues"]) || "no queue"}`,
    "worker.stopped": () => "A worker stopped",
    "worker.thread.lost": () => "A handler does not stop; its thread was given up",
    "worker.job.claimed": (f) => `A worker took it${attempt(f)}`,
    "worker.job.extraction.started": (f) => `Looking for the video at ${said(f["url"])}${attempt(f)}`,
    "worker.job.extraction.completed": (f) =>
        `Found ${said(f["sources"])} source${said(f["sources"]) === "1" ? "" : "s"} (${said(f["extractor"])})${colon(said(f["title"]))}`,
    "worker.job.extraction.waiting_for_human": (f) => `Waits for a person in the browser${colon(why(f))}`,
    "worker.job.download.started": () => "Download started",
    "worker.job.download.progress": (f) => `Downloading${colon(download(f))}`,
    "worker.job.download.completed": (f) => `Download done${colon(download(f))}`,
    "worker.job.thumbnail.completed": () => "Thumbnail made",
    "worker.job.progress": (f) => `Progress${colon(progress(f))}`,
    "worker.job.log": (f) => said(f["message"]) || said(f["line"]) || "Log line",
    "worker.job.retry_scheduled": (f) => `Failed, tries again${attempt(f)}${colon(why(f))}`,
    "worker.job.snoozed": (f) => `Waits${colon(why(f))}`,
    "worker.job.released": () => "Given back by a worker that stops",
    "worker.job.recovered": (f) => `Its worker was lost; another takes over${colon(why(f))}`,
    "worker.job.canceled": () => "Canceled",
    "worker.job.completed": (f) => `Completed${attempt(f)}`,
    "worker.job.failed": (f) => `Failed${colon(why(f))}`,
    "media.file.missing": () => "Its file is gone",
    "api.change.done": (f) =>
        f["path"] === "/login" || f["path"] === "/logout"
            ? `${said(f["caller"])} logged ${f["path"] === "/login" ? "in" : "out"}`
            : `${said(f["caller"])} did ${said(f["method"])} ${said(f["path"])}`,
    "api.login.refused": (f) => `A wrong token from ${said(f["from"]) || "somewhere"}${said(f["tries"]) === "1" ? "" : ` and others, ${said(f["tries"])} tries`}`,
    "api.token.created": (f) => `A token of ${said(f["name"])} is valid now, role ${said(f["tokenRole"])}`,
    "api.token.revoked": (f) => `A token of ${said(f["name"])} was revoked`,
    "api.change.refused": (f) =>
        `${said(f["caller"]) || "Somebody"} was refused ${said(f["method"])} ${said(f["path"])}${colon(said(f["code"]))}`,
};

export function wordsOf(event: LogEvent): string {
    const fields = fieldsOf(event);
    const sentence = sentences[event.event];
    if (sentence) return sentence(fields);
    const more = said(fields["message"]) || why(fields);
    return `${event.event}${colon(more)}`;
}

/** The disks that run full, each once, with what that means. */
export function lowDisks(status: Pick<Status, "disks" | "sessions">): string[] {
    const said = (status.disks ?? [])
        .filter((disk) => disk.low)
        .map((disk) => `The store's disk has ${bytes(disk.freeBytes)} free; once it is full, no new job is taken.`);
    // Workers of one machine measure the same disk at different moments.
    const byHost = new Map<string, Disk>();
    for (const worker of status.sessions)
        for (const disk of (worker.live && worker.details.disks) || [])
            if (disk.low && disk.freeBytes <= (byHost.get(worker.host)?.freeBytes ?? disk.freeBytes)) byHost.set(worker.host, disk);
    for (const [host, disk] of byHost)
        said.push(
            `The disk for downloads on ${host} has ${bytes(disk.freeBytes)} free; ` +
                (disk.freeBytes < disk.floorBytes ? `downloads fail until ${bytes(disk.floorBytes)} are.` : `below ${bytes(disk.floorBytes)} downloads fail.`),
        );
    return said;
}

/** The state that a job has after this event; undefined when it says nothing about that. */
export function stateAfter(event: LogEvent): string | undefined {
    if (!event.event.startsWith("worker.job.") && !event.event.startsWith("jobs.")) return undefined;
    if (event.event === "jobs.deleted") return "deleted";
    const status = fieldsOf(event)["status"];
    return typeof status === "string" ? status : undefined;
}

/** What a person can do about an error code; undefined when its message says it all. */
export function remedyFor(code: string, platform: string): string | undefined {
    const site = platform === "x" || platform === "tiktok" ? ` ${platform}` : "";
    switch (code) {
        case "AUTH_REQUIRED":
        case "BOT_CHALLENGE":
        case "EXTRACTION_TIMEOUT":
            return `jobrt auth bootstrap${site}`;
        case "BROWSER_LAUNCH_FAILED":
        case "FFMPEG_NOT_FOUND":
            return "jobrt doctor";
        default:
            return undefined;
    }
}
