import assert from "node:assert/strict";
import { test } from "node:test";
import { Digits, lineOfJson, parseJson, writeJson } from "../src/lib/json";

test("numbers that a double holds are numbers, others keep their digits", () => {
    const same = ["0", "-1", "1.5", "8.338868318255271E1", "1E2", "9007199254740992", "1.50e3", "123456789012345"];
    for (const text of same) assert.equal(parseJson(text), Number(text), text);
    const kept = ["12345678901234567890", "9007199254740993", "-18446744073709551615", "0.1000000000000000055511151231257827", "1e400", "1e-400"];
    for (const text of kept) {
        const value = parseJson(text);
        assert.ok(value instanceof Digits, text);
        assert.equal(writeJson(value), text);
    }
});

test("what is no JSON is refused as JSON.parse refuses it", () => {
    for (const text of ["", "{", "[1,]", "01", "1.", "nul", '"a', "{a:1}", '{"a":1,}', "[1 2]", "1 2", '"\n"', "+1", "--1"]) {
        assert.throws(() => JSON.parse(text) as unknown, undefined, text);
        assert.throws(() => parseJson(text), SyntaxError, text);
    }
    assert.throws(() => parseJson("[".repeat(2000)), SyntaxError);
});

test("a value is written as it was read, whatever its members are called", () => {
    const text = '{"__proto__":{"a":[1,"\\u0041\\n",null,true,12345678901234567890]},"constructor":[],"x":{}}';
    assert.equal(lineOfJson(parseJson(text)), text.replace("\\u0041", "A"));
    assert.equal(writeJson(parseJson('{"a":[1,{}]}')), '{\n  "a": [\n    1,\n    {}\n  ]\n}');
});
