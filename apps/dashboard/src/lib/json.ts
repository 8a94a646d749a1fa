// JSON as it was written: a number that a double cannot hold keeps its digits.

/** A number whose digits would be lost as a double. */
export class Digits {
    constructor(readonly text: string) {}
    toString(): string {
        return this.text;
    }
}

export type Json = null | boolean | number | string | Digits | Json[] | { [name: string]: Json };

const numberAt = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const stringAt = /"(?:[^"\\]|\\.)*"/y;
const spaceAt = /[ \t\r\n]*/y;

/** Parses strictly; throws SyntaxError as JSON.parse does. Digits stand for numbers that a double would change. */
export function parseJson(text: string): Json {
    const reader = new Reader(text);
    const value = reader.value(0);
    reader.space();
    if (reader.at !== text.length) throw new SyntaxError(`unexpected text at ${reader.at}`);
    return value;
}

class Reader {
    at = 0;
    constructor(private readonly text: string) {}

    space(): void {
        spaceAt.lastIndex = this.at;
        spaceAt.exec(this.text);
        this.at = spaceAt.lastIndex;
    }

    value(depth: number): Json {
        if (depth > 500) throw new SyntaxError("nested too deep");
        this.space();
        switch (this.text[this.at]) {
            case "{":
                return this.object(depth);
            case "[":
                return this.array(depth);
            case '"':
                return this.string();
            case "t":
                return this.word("true", true);
            case "f":
                return this.word("false", false);
            case "n":
                return this.word("null", null);
            default:
                return this.number();
        }
    }

    private word<T>(word: string, value: T): T {
        if (!this.text.startsWith(word, this.at)) throw new SyntaxError(`unexpected text at ${this.at}`);
        this.at += word.length;
        return value;
    }

    private string(): string {
        stringAt.lastIndex = this.at;
        const found = stringAt.exec(this.text);
        if (!found) throw new SyntaxError(`a string that does not end at ${this.at}`);
        this.at = stringAt.lastIndex;
        return JSON.parse(found[0]) as string;
    }

    private number(): number | Digits {
        numberAt.lastIndex = this.at;
        const found = numberAt.exec(this.text);
        if (!found) throw new SyntaxError(`unexpected text at ${this.at}`);
        this.at = numberAt.lastIndex;
        return keepsValue(found[0]) ? Number(found[0]) : new Digits(found[0]);
    }

    private array(depth: number): Json[] {
        const list: Json[] = [];
        ++this.at;
        this.space();
        if (this.text[this.at] === "]") {
            ++this.at;
            return list;
        }
        for (;;) {
            list.push(this.value(depth + 1));
            if (this.separator("]")) return list;
        }
    }

    private object(depth: number): { [name: string]: Json } {
        // No prototype: a member may have any name.
        const object = Object.create(null) as { [name: string]: Json };
        ++this.at;
        this.space();
        if (this.text[this.at] === "}") {
            ++this.at;
            return object;
        }
        for (;;) {
            this.space();
            const name = this.string();
            this.space();
            this.word(":", null);
            object[name] = this.value(depth + 1);
            if (this.separator("}")) return object;
        }
    }

    /** Past a comma: false. Past the end: true. */
    private separator(end: string): boolean {
        this.space();
        const found = this.text[this.at++];
        if (found === end) return true;
        if (found !== ",") throw new SyntaxError(`unexpected text at ${this.at - 1}`);
        return false;
    }
}

/** Whether a double shows the same number: at most 15 digits always do. */
function keepsValue(text: string): boolean {
    const digits = text.replace(/[eE].*$/, "").replace(/[-.]/g, "").replace(/^0+/, "");
    if (digits.length <= 15) return Number.isFinite(Number(text)) && (Number(text) !== 0 || /^0*$/.test(digits));
    return plain(String(Number(text))) === plain(text);
}

/** A number as digits and power of ten, so that 1.50e3 and 1500 are the same text. */
function plain(text: string): string {
    const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
    if (!parts) return text;
    const fraction = parts[3] ?? "";
    let power = Number(parts[4] ?? 0) - fraction.length;
    let digits = (parts[2] + fraction).replace(/^0+/, "");
    while (digits.endsWith("0")) {
        digits = digits.slice(0, -1);
        ++power;
    }
    return `${parts[1]}${digits}e${digits ? power : 0}`;
}

/** Indented text of a value, every digit kept. */
export function writeJson(value: Json, indent = ""): string {
    if (value instanceof Digits) return value.text;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const inner = indent + "  ";
    if (Array.isArray(value)) {
        if (value.length === 0) return "[]";
        return `[\n${value.map((item) => inner + writeJson(item, inner)).join(",\n")}\n${indent}]`;
    }
    const names = Object.keys(value);
    if (names.length === 0) return "{}";
    const members = names.map((name) => `${inner}${JSON.stringify(name)}: ${writeJson(value[name] ?? null, inner)}`);
    return `{\n${members.join(",\n")}\n${indent}}`;
}

/** The value on one line, every digit kept. */
export function lineOfJson(value: Json): string {
    if (value instanceof Digits) return value.text;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    if (Array.isArray(value)) return `[${value.map(lineOfJson).join(",")}]`;
    return `{${Object.keys(value)
        .map((name) => `${JSON.stringify(name)}:${lineOfJson(value[name] ?? null)}`)
        .join(",")}}`;
}

/** A member that is a string; undefined for all else. */
export function textOf(value: Json | undefined, name: string): string | undefined {
    if (!isObject(value)) return undefined;
    const member = value[name];
    return typeof member === "string" ? member : undefined;
}

export function isObject(value: Json | undefined): value is { [name: string]: Json } {
    return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Digits);
}
