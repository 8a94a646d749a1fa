// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <chrono>

#include "api_fixture.hpp"

using namespace api_test;

// Tables of hostile requests that reach the router: every mix of what a browser says about a page, and bodies that are
// made to cost more than they look.
namespace {

std::string repeated(std::string_view part, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += part;
    return all;
}

std::string nested(const std::string& open, const std::string& inside, const std::string& close, int depth) {
    return R"({"kind":"demo.echo","payload":{"a":)" + repeated(open, depth) + inside + repeated(close, depth) + "}}";
}

std::string payload(const std::string& value) { return R"({"kind":"demo.echo","payload":{"a":)" + value + "}}"; }

}  // namespace

TEST_CASE("Host, Origin and the Sec-Fetch headers: every mix of them, for every kind of request") {
    ApiOptions options;
    options.allowed_hosts = {"jobs.example"};
    options.allowed_origins = {"https://front.example"};
    Api api(options);
    const std::string id = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    struct Ask {
        std::string method, target, body;
        int status;  ///< When nothing forbids it.
    };
    const std::vector<Ask> asks{
        {"GET", "/api/jobs", "", 200},
        {"HEAD", "/api/jobs", "", 200},
        {"GET", "/api/telemetry/stream", "", 200},
        {"POST", "/api/jobs", R"({"kind":"demo.echo"})", 201},
        {"POST", "/api/jobs/" + id + "/cancel", "", 404},
        {"DELETE", "/api/jobs/" + id, "", 404},
        {"OPTIONS", "/api/jobs", "", 204},
        {"GET", "/api/health", "", 200},
        {"GET", "/api/worker/health", "", 200},
    };
    const std::string own = "https://jobs.example";
    int tried = 0;
    int misdirected = 0;
    int forbidden = 0;
    for (const auto& ask : asks)
        for (const std::string host : {"jobs.example", "JOBS.example", "evil.example", ""})
            for (const std::string origin : {"", "https://jobs.example", "https://front.example", "https://evil.example", "null"})
                for (const std::string site : {"", "same-origin", "same-site", "cross-site", "none", "Same-Origin"})
                    // Of a navigation; "-" = it is none, "" = the browser does not say what for.
                    for (const std::string destination : {"-", "", "document", "iframe", "frame", "embed", "object", "Document"}) {
                        CAPTURE(ask.method);
                        CAPTURE(ask.target);
                        CAPTURE(host);
                        CAPTURE(origin);
                        CAPTURE(site);
                        CAPTURE(destination);
                        Request request{ask.method, ask.target, {}, ask.body, "192.0.2.1"};
                        if (!host.empty()) request.headers.emplace_back("host", host);
                        if (!origin.empty()) request.headers.emplace_back("origin", origin);
                        if (!site.empty()) request.headers.emplace_back("sec-fetch-site", site);
                        if (destination != "-") request.headers.emplace_back("sec-fetch-mode", "navigate");
                        if (destination != "-" && !destination.empty()) request.headers.emplace_back("sec-fetch-dest", destination);
                        if (!ask.body.empty()) request.headers.emplace_back("content-type", "application/json");
                        const bool health = ask.target.find("health") != std::string::npos;
                        const bool changes = ask.method == "POST" || ask.method == "DELETE";
                        const bool is_own = host != "evil.example" && !host.empty();
                        // The browser's word about the page goes before the page's origin; a listed origin is as our own.
                        bool foreign = !site.empty() ? site != "same-origin" && site != "none" : !origin.empty() && origin != own;
                        if (origin == "https://front.example") foreign = false;
                        const bool link = destination.empty() || destination == "document";
                        if (health || ask.method == "OPTIONS" || (link && !changes)) foreign = false;
                        const int wanted = !is_own && !health ? 421 : foreign ? 403 : ask.status;
                        CHECK(api.router.handle(request).status == wanted);
                        ++tried;
                        misdirected += wanted == 421 ? 1 : 0;
                        forbidden += wanted == 403 ? 1 : 0;
                    }
    MESSAGE("counts: " << tried << " mixes, " << misdirected << " misdirected, " << forbidden << " forbidden");
    CHECK(misdirected > 500);
    CHECK(forbidden > 200);
}

TEST_CASE("JSON bombs: depth, width, numbers, names given twice, long strings and bytes that are no text") {
    Api api;
    struct Row {
        const char* what;
        std::string body;
        int status;
        const char* code;
    };
    const char* json = "INVALID_JSON";
    const char* argument = "INVALID_ARGUMENT";
    const std::vector<Row> rows{
        {"deep arrays", nested("[", "", "]", 500'000), 400, json},
        {"deep arrays that never close", repeated("[", 1'000'000), 400, json},
        {"deep objects", nested("{\"a\":", "1", "}", 150'000), 400, json},
        {"deep objects that never close", repeated("{\"a\":", 200'000), 400, json},
        {"one too deep", nested("[{\"a\":", "1", "}]", 16), 400, json},
        {"a wide array", payload("[" + repeated("0,", 120'000) + "0]"), 201, ""},
        {"an array wider than a payload", payload("[" + repeated("0,", 400'000) + "0]"), 413, "PAYLOAD_TOO_LARGE"},
        {"many empty arrays", payload("[" + repeated("[],", 80'000) + "[]]"), 201, ""},
        {"many members of one name", payload("{" + repeated("\"a\":1,", 100'000) + "\"a\":1}"), 400, json},
        {"a name twice, escaped", payload(R"({"a":1,"\u0061":2})"), 400, json},
        {"a name twice, far inside", payload(R"([[[{"x":{"y":[{"n":1,"m":2,"n":3}]}}]]])"), 400, json},
        {"kind twice", R"({"kind":"demo.echo","kind":"demo.sleep"})", 400, json},
        {"payload twice", R"({"kind":"demo.echo","payload":{},"payload":{}})", 400, json},
        {"a number over all numbers", payload("1e999"), 400, nullptr},
        {"a negative number over all numbers", payload("-1e999"), 400, nullptr},
        {"a number of 100,000 digits", payload(std::string(100'000, '9')), 400, nullptr},
        {"one more than 64 bits", payload("18446744073709551616"), 400, "INVALID_NUMBER"},
        {"one less than 64 bits", payload("-9223372036854775809"), 400, "INVALID_NUMBER"},
        {"one more than 64 bits, far inside", payload(R"([[{"x":"\\",":":[1,18446744073709551616]}]])"), 400, "INVALID_NUMBER"},
        {"one more than 64 bits, as a name and a string", payload(R"({"18446744073709551616":"-9223372036854775809"})"), 201, ""},
        {"many digits that are no whole number", payload("[18446744073709551616e0,18446744073709551616.5]"), 201, ""},
        {"a fraction of 100,000 digits", payload("0." + std::string(100'000, '3')), 201, ""},
        {"a number below all numbers", payload("1e-999999999"), 201, ""},
        {"an exponent over all exponents", payload("1e99999999999999999999"), 400, nullptr},
        {"minus nothing", payload("-0"), 201, ""},
        {"not a number", payload("NaN"), 400, json},
        {"infinity", payload("Infinity"), 400, json},
        {"a plus", payload("+1"), 400, json},
        {"a leading zero", payload("00"), 400, json},
        {"a number in hexadecimal", payload("0x10"), 400, json},
        {"a bare point", payload("1."), 400, json},
        {"a priority over all numbers", R"({"kind":"demo.echo","priority":9223372036854775808})", 400, argument},
        {"a priority that wraps", R"({"kind":"demo.echo","priority":65536})", 400, argument},
        {"a fraction of a priority", R"({"kind":"demo.echo","priority":1.5})", 400, argument},
        {"a delay over all times", R"({"kind":"demo.echo","delayMs":9223372036854775807})", 400, argument},
        {"attempts over all numbers", R"({"kind":"demo.echo","maxAttempts":1e18})", 400, argument},
        {"a long kind", "{\"kind\":\"" + std::string(900'000, 'a') + "\"}", 400, argument},
        {"a long unique key", "{\"kind\":\"demo.echo\",\"uniqueKey\":\"" + std::string(900'000, 'a') + "\"}", 400, argument},
        {"a long tag", "{\"kind\":\"demo.echo\",\"tags\":[\"" + std::string(900'000, 'a') + "\"]}", 400, argument},
        {"a member with a long name", "{\"kind\":\"demo.echo\",\"" + std::string(900'000, 'a') + "\":1}", 400, argument},
        {"many tags", R"({"kind":"demo.echo","tags":[)" + repeated("\"t\",", 200'000) + "\"t\"]}", 400, argument},
        {"a string of escapes", payload("\"" + repeated("\\u0001", 60'000) + "\""), 413, "PAYLOAD_TOO_LARGE"},
        {"a NUL as an escape", payload(R"("a\u0000b")"), 201, ""},
        {"a NUL as a byte", payload("\"a" + std::string(1, '\0') + "b\""), 400, json},
        {"a line's end in a string", payload("\"a\nb\""), 400, json},
        {"half a pair of surrogates", payload(R"("\ud83d")"), 400, json},
        {"the wrong half", payload(R"("\ude00\ud83d")"), 400, json},
        {"a whole pair", payload(R"("\ud83d\ude00")"), 201, ""},
        {"an overlong slash", payload("\"\xc0\xaf\""), 400, json},
        {"an overlong NUL", payload("\"\xe0\x80\x80\""), 400, json},
        {"a surrogate in UTF-8", payload("\"\xed\xa0\x80\""), 400, json},
        {"beyond Unicode", payload("\"\xf4\x90\x80\x80\""), 400, json},
        {"a character cut off", payload("\"\xf0\x9f\x98\""), 400, json},
        {"a lone continuation", payload("\"\x80\""), 400, json},
        {"a byte that is never UTF-8", "{\"kind\":\"demo.echo\",\"payload\":{\"\xff\":1}}", 400, json},
        {"UTF-16", std::string("\xff\xfe{\0\"\0", 6), 400, json},
        {"a byte order mark", "\xef\xbb\xbf{\"kind\":\"demo.echo\"}", 400, json},
        {"a comment", "{\"kind\":\"demo.echo\"/**/}", 400, json},
        {"two values", R"({"kind":"demo.echo"}{"kind":"demo.echo"})", 400, json},
        {"a value and a NUL", R"({"kind":"demo.echo"})" + std::string(1, '\0'), 400, json},
        {"blanks and no value", std::string(1'000'000, ' '), 400, json},
    };
    std::size_t made = 0;
    for (const auto& row : rows) {
        CAPTURE(row.what);
        const auto begun = std::chrono::steady_clock::now();
        const auto answer = api.post("/api/jobs", row.body);
        CHECK(answer.status == row.status);
        if (row.code) CHECK(answer.code() == row.code);
        else CHECK_FALSE(answer.code().empty());
        // A healthy one takes milliseconds; one that grows with the square of its size would take minutes.
        CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(20));
        made += answer.status == 201 ? 1 : 0;
    }
    // What was taken can be read, and nothing else was.
    CHECK(api.get("/api/jobs?limit=100").body.at("jobs").as_array().size() == made);
}
