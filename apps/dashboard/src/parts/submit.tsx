// Paste an address and go.
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { api } from "../lib/api";
import { ApiError } from "../lib/ask";
import { useCell } from "../lib/cell";
import { go, screenHref } from "../lib/route";
import { Badge, mayOperate, session } from "./bits";
import { tell } from "./dialogs";

interface Refused {
    text: string;
    jobId?: string;
    jobState?: string;
    settings?: boolean;
}

function refusedBy(error: unknown): Refused {
    if (!(error instanceof ApiError)) return { text: String(error) };
    const { code, more } = error;
    const text = (name: string): Record<string, string> => (typeof more[name] === "string" ? { [name]: more[name] as string } : {});
    const known = { ...text("existingJobId"), ...text("existingJobStatus") };
    const job = known["existingJobId"] ? { jobId: known["existingJobId"], jobState: known["existingJobStatus"] ?? "" } : {};
    if (code === "DUPLICATE_ACTIVE_JOB") return { text: "This post waits or runs already", ...job };
    if (code === "DUPLICATE_COMPLETED_JOB") return { text: "This post is saved already", ...job };
    if (code === "PLATFORM_DISABLED") return { text: `Not taken: ${error.message}`, settings: true };
    return { text: code === "INVALID_URL" ? `This address cannot be saved: ${error.message}` : `${code}: ${error.message}`, ...job };
}

export function Submit(): JSX.Element | null {
    const field = useRef<HTMLInputElement>(null);
    const [busy, setBusy] = useState(false);
    const [refused, setRefused] = useState<Refused | null>(null);
    if (!mayOperate(useCell(session))) return <p class="card quiet">Your role may look, and not submit jobs.</p>;
    const submit = async (): Promise<void> => {
        const url = field.current?.value.trim() ?? "";
        if (!url || busy) return;
        setBusy(true);
        setRefused(null);
        try {
            const made = await api.save(url);
            tell(made.requeued ? "Its file was gone; it is saved again" : "Submitted");
            go(screenHref(["jobs", made.job.id]));
        } catch (error) {
            setRefused(refusedBy(error));
        }
        setBusy(false);
    };
    return (
        <form
            class="card submit"
            onSubmit={(event) => {
                event.preventDefault();
                void submit();
            }}
        >
            <label for="submit-url">Save a video</label>
            <div class="row">
                <input id="submit-url" ref={field} type="text" inputMode="url" autocomplete="off" spellcheck={false} placeholder="https://… the page or post with the video" aria-describedby="submit-said" />
                <button class="primary" disabled={busy}>
                    {busy ? "Submitting…" : "Save"}
                </button>
            </div>
            <p id="submit-said" role="alert" class={refused ? "trouble" : "none"}>
                {refused ? (
                    <>
                        {refused.text}{" "}
                        {refused.jobId ? (
                            <>
                                <a href={screenHref(["jobs", refused.jobId])}>See that job</a> <Badge state={refused.jobState ?? ""} />
                            </>
                        ) : null}
                        {refused.settings ? <a href={screenHref(["settings"])}>Settings</a> : null}
                    </>
                ) : null}
            </p>
        </form>
    );
}
