// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

using namespace api_test;

TEST_CASE("only listed Host names are answered, so that a foreign name for 127.0.0.1 gets nothing") {
    ApiOptions options;
    options.allowed_hosts = {"jobs.example.org", "other.example.org:8443"};
    Api api(options);
    const auto status = [&](const char* host) { return api.call("GET", "/api/jobs", "", {{"host", host}}).status; };
    for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535", "127.9.8.7:80", "[::1]", "[::1]:4000",
                             "jobs.example.org", "Jobs.Example.Org:9", "other.example.org:8443"}) {
        CAPTURE(host);
        CHECK(status(host) == 200);
    }
    for (const char* host : {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "127.1", "0177.0.0.1", "127.0.0.01",
                             "2130706433", "[::2]", "[::1", "localhost:", "localhost:x", "localhost:99999", "localhost:80:80",
                             "other.example.org", "other.example.org:1", "a@localhost", ":80", "127.0.0.1.", "[::1]x"}) {
        CAPTURE(host);
        CHECK(status(host) == 421);
    }
    Request bare;
    bare.target = "/api/jobs";
    CHECK(api.router.handle(bare).status == 421);
    CHECK(api.call("GET", "/api/jobs", "", {{"host", "evil.example"}}).code() == "MISDIRECTED_REQUEST");
    CHECK(api.call("GET", "/api/health", "", {{"host", "evil.example"}}).status == 200);
    CHECK(api.call("GET", "/api/worker/health", "", {{"host", "evil.example"}}).status == 200);
}

TEST_CASE("whom the API answers can be replaced while it runs") {
    ApiOptions options;
    options.allowed_hosts = {"old.example"};
    options.allowed_origins = {"https://old.example"};
    options.cors_origins = {"https://read.example"};
    Api api(options);
    const auto host = [&](const char* name) { return api.call("GET", "/api/jobs", "", {{"host", name}}).status; };
    const auto origin = [&](const char* name) {
        return api.post("/api/jobs", R"({"kind":"demo.echo"})", {{"origin", name}}).status;
    };
    CHECK(host("old.example") == 200);
    CHECK(host("new.example") == 421);
    CHECK(origin("https://old.example") == 201);
    CHECK(origin("https://read.example") == 201);
    api.router.set_allowed({{"new.example"}, {"https://new.example"}, {}});
    CHECK(host("old.example") == 421);
    CHECK(host("new.example") == 200);
    CHECK(origin("https://old.example") == 403);
    CHECK(origin("https://read.example") == 403);
    CHECK(origin("https://new.example") == 201);
}

TEST_CASE("a page of another origin changes and holds nothing; programs and own pages do") {
    ApiOptions options;
    options.allowed_origins = {"http://localhost:5173"};
    Api api(options);
    struct Row {
        Headers headers;
        bool allowed;
    };
    const std::vector<Row> rows{
        {{}, true},
        {{{"sec-fetch-site", "same-origin"}, {"origin", "http://127.0.0.1:4000"}}, true},
        {{{"sec-fetch-site", "none"}}, true},
        {{{"sec-fetch-site", "cross-site"}, {"origin", "https://evil.example"}}, false},
        {{{"sec-fetch-site", "cross-site"}}, false},
        {{{"sec-fetch-site", "same-site"}, {"origin", "http://127.0.0.1:9"}}, false},
        {{{"sec-fetch-site", "nonsense"}}, false},
        {{{"sec-fetch-site", "same-site"}, {"origin", "http://localhost:5173"}}, true},
        {{{"origin", "http://127.0.0.1:4000"}}, true},
        {{{"origin", "https://127.0.0.1:4000"}}, true},
        {{{"origin", "http://127.0.0.1:4001"}}, false},
        {{{"origin", "http://127.0.0.1"}}, false},
        {{{"origin", "null"}}, false},
        {{{"origin", "https://evil.example"}}, false},
        {{{"origin", "http://localhost:5173"}}, true},
        {{{"origin", "http://localhost:5174"}}, false},
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
        CAPTURE(i);
        const auto answer = api.post("/api/jobs", R"({"kind":"demo.echo"})", rows[i].headers);
        CHECK(answer.status == (rows[i].allowed ? 201 : 403));
        if (!rows[i].allowed) CHECK(answer.code() == "FORBIDDEN");
        // It could not read the answer, but hold streams open and keep the server busy.
        CHECK(api.call("GET", "/api/jobs", "", rows[i].headers).status == (rows[i].allowed ? 200 : 403));
        CHECK(api.call("GET", "/api/telemetry/stream", "", rows[i].headers).status == (rows[i].allowed ? 200 : 403));
        CHECK(api.call("GET", "/api/health", "", rows[i].headers).status == 200);
        // A link to here is followed from anywhere.
        auto link = rows[i].headers;
        link.emplace_back("sec-fetch-mode", "navigate");
        CHECK(api.call("GET", "/api/jobs", "", link).status == 200);
    }
    CHECK(api.call("DELETE", "/api/jobs/x", "", {{"origin", "null"}}).status == 403);
}

TEST_CASE("a body must be JSON by its content type; no body needs none") {
    Api api;
    const std::string body = R"({"kind":"demo.echo"})";
    for (const char* type : {"application/json", "Application/JSON; charset=utf-8", "application/json ;x", "application/merge-patch+json"}) {
        CAPTURE(type);
        CHECK(api.post("/api/jobs", body, {{"content-type", type}}).status == 201);
    }
    for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "json", "text/json"}) {
        CAPTURE(type);
        const auto answer = api.post("/api/jobs", body, {{"content-type", type}});
        CHECK(answer.status == 415);
        CHECK(answer.code() == "UNSUPPORTED_MEDIA_TYPE");
    }
    Request untyped;
    untyped.method = "POST";
    untyped.target = "/api/jobs";
    untyped.headers = {{"host", "localhost"}};
    untyped.body = body;
    CHECK(api.router.handle(untyped).status == 415);
    CHECK(api.post("/api/jobs/" + api.create() + "/cancel").status == 200);
}

TEST_CASE("what is not strict JSON is INVALID_JSON") {
    Api api;
    const auto code = [&](const std::string& body) { return api.post("/api/jobs", body).code(); };
    const auto nested = [](int depth) {
        return R"({"kind":"demo.echo","payload":{"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}}";
    };
    for (const auto& body : {std::string("{"), std::string("nonsense"), std::string("{\"kind\":\"a\"} x"), std::string("[]"), std::string("\"text\""), std::string("null"),
                             std::string("{'kind':1}"), std::string("{\"kind\":\"a\",}"), std::string("{\"kind\":\"\xff\"}"), std::string("{\"kind\":\"\xc0\xaf\"}"),
                             std::string("{\"kind\":\"\\ud800\"}"), std::string("{\"kind\":\"a\",\"kind\":\"b\"}"), std::string("{\"kind\":\"a\",\"\\u006bind\":\"b\"}"),
                             std::string("{\"kind\":\"a\",\"payload\":{\"x\":1,\"x\":2}}"), std::string("{\"kind\":\"a\",\"payload\":{\"l\":[{\"x\":1,\"x\":2}]}}"),
                             std::string("{\"kind\":NaN}"), std::string("{\"kind\":01}"), nested(31), nested(100'000)}) {
        CAPTURE(body.substr(0, 60));
        CHECK(code(body) == "INVALID_JSON");
    }
    CHECK(api.post("/api/jobs", nested(30)).status == 201);
    // Colons and quotes inside strings are not members.
    CHECK(api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"a:b":":\":{\"x\":1","c":"\\"}})").status == 201);
    CHECK(api.post("/api/jobs", "{\"kind\":\"demo.echo\",\"payload\":{\"n\":\"\xc3\xbc\"}}").status == 201);
}

TEST_CASE("errors of the store become codes, never its words") {
    struct Row {
        Errc code;
        int status;
        const char* name;
        bool retry_after;
    };
    const std::vector<Row> rows{{Errc::unavailable, 503, "STORE_UNAVAILABLE", true}, {Errc::full, 507, "STORE_FULL", true},
                                {Errc::timed_out, 504, "TIMED_OUT", true},           {Errc::conflict, 409, "CONFLICT", false},
                                {Errc::not_found, 404, "JOB_NOT_FOUND", false},      {Errc::corrupt, 500, "STORE_CORRUPT", false},
                                {Errc::internal, 500, "INTERNAL", false},            {Errc::unsupported, 501, "UNSUPPORTED", false}};
    ApiOptions options;
    options.store_hint = "db.example:27017; check MONGODB_URI";
    Api api(options);
    for (const auto& row : rows) {
        CAPTURE(row.name);
        api.fail(row.code);
        for (const auto& answer : {api.post("/api/jobs", R"({"kind":"demo.echo"})"), api.get("/api/jobs"),
                                   api.get("/api/jobs/0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"), api.get("/api/telemetry")}) {
            CHECK(answer.status == row.status);
            CHECK(answer.code() == row.name);
            CHECK(answer.header("retry-after").empty() != row.retry_after);
            const auto& text = std::get<std::string>(answer.response.body);
            CHECK(text.find("SELECT") == std::string::npos);
            CHECK(text.find("secret") == std::string::npos);
            CHECK((text.find("MONGODB_URI") != std::string::npos) == (row.code == Errc::unavailable));
        }
    }
    // Nothing was half-created.
    api.store.before = nullptr;
    CHECK(api.get("/api/jobs").body.at("jobs").as_array().empty());
}

TEST_CASE("CORS is off unless an origin is named; then its pages are answered, and may ask what they may send") {
    const Headers page{{"origin", "https://ops.example"}, {"sec-fetch-site", "cross-site"}};
    Headers preflight = page;
    preflight.emplace_back("access-control-request-method", "POST");
    Api closed;
    CHECK(closed.call("GET", "/api/jobs", "", page).status == 403);
    CHECK(closed.call("OPTIONS", "/api/jobs", "", preflight).header("access-control-allow-origin").empty());
    CHECK(closed.get("/api/jobs").header("vary").empty());

    ApiOptions options;
    options.cors_origins = {"https://ops.example"};
    Api open(options);
    const auto asked = open.call("OPTIONS", "/api/jobs", "", preflight);
    CHECK(asked.status == 204);
    CHECK(asked.header("access-control-allow-origin") == "https://ops.example");
    CHECK(asked.header("access-control-allow-methods") == "GET, HEAD, OPTIONS, POST");
    CHECK(asked.header("access-control-allow-headers").find("authorization") == 0);
    CHECK(asked.header("access-control-allow-credentials").empty());
    CHECK(asked.header("vary") == "origin");
    const auto made = open.post("/api/jobs", R"({"kind":"demo.echo"})", page);
    CHECK(made.status == 201);
    CHECK(made.header("access-control-allow-origin") == "https://ops.example");
    CHECK(made.header("access-control-expose-headers").find("location") != std::string::npos);
    CHECK(made.header("cross-origin-resource-policy") == "cross-origin");
    CHECK(open.call("GET", "/nowhere", "", page).header("access-control-allow-origin") == "https://ops.example");
    for (const char* other : {"https://ops.example.evil", "http://ops.example", "null"}) {
        CAPTURE(other);
        const auto refused = open.call("GET", "/api/jobs", "", {{"origin", other}, {"sec-fetch-site", "cross-site"}});
        CHECK(refused.status == 403);
        CHECK(refused.header("access-control-allow-origin").empty());
        CHECK(refused.header("vary") == "origin");
    }
}
