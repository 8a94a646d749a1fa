// What the tests use of Node; its own types are not worth a package.
declare module "node:test" {
    export function test(name: string, run: () => void | Promise<void>): void;
    export const mock: {
        timers: { enable(options: { apis: string[] }): void; tick(ms: number): void; reset(): void };
        method(object: object, name: string, run: (...args: unknown[]) => unknown): { mock: { calls: unknown[]; restore(): void } };
    };
}
declare module "node:assert/strict" {
    const assert: {
        equal(actual: unknown, expected: unknown, message?: string): void;
        deepEqual(actual: unknown, expected: unknown, message?: string): void;
        ok(value: unknown, message?: string): asserts value;
        throws(run: () => unknown, expected?: unknown, message?: string): void;
    };
    export default assert;
}
declare function setImmediate(run: () => void): void;
