// What the tests use of Node; its own types are not worth a package.
declare module "node:test" {
    export function test(name: string, run: () => void | Promise<void>): void;
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
