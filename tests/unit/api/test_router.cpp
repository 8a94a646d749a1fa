// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <stdexcept>

using namespace api_test;

TEST_CASE("a path that nobody has is 404, a method that a path does not take is 405 and names those it takes") {
    Api api;
    CHECK(api.get("/").code() == "NOT_FOUND");
    CHECK(api.get("/api/jobs/").status == 404);
    CHECK(api.get("/api/Health").status == 404);
    CHECK(api.get("/api/jobs/x/cancel/y").status == 404);
    const auto refused = api.call("PUT", "/api/jobs", "{}");
    CHECK(refused.status == 405);
    CHECK(refused.code() == "METHOD_NOT_ALLOWED");
    CHECK(refused.header("allow") == "GET, HEAD, OPTIONS, POST");
    CHECK(api.call("TRACE", "/api/health").status == 405);
    const auto options = api.call("OPTIONS", "/api/jobs/abc");
    CHECK(options.status == 204);
    CHECK(options.header("allow") == "DELETE, GET, HEAD, OPTIONS");
    // A path of its own is not also the job of that name.
    for (const char* method : {"DELETE", "POST"}) CHECK(api.call(method, "/api/jobs/counts").status == 405);
    CHECK(api.call("GET", "/api/jobs/bulk").status == 405);
    CHECK(api.call("OPTIONS", "/api/jobs/counts").header("allow") == "GET, HEAD, OPTIONS");
    CHECK(api.call("OPTIONS", "/api/jobs/bulk").header("allow") == "OPTIONS, POST");
    CHECK(api.call("OPTIONS", "*").status == 204);
    CHECK(api.call("HEAD", "/api/health").status == 200);
}

TEST_CASE("names of the query that a route does not know, doubled ones and bad escapes are refused") {
    Api api;
    for (const char* target : {"/api/jobs?stauts=failed", "/api/health?x", "/api/jobs?limit=1&limit=2", "/api/jobs?tag=%zz",
                               "/api/jobs?tag=%4", "/api/jobs/%2", "/api/telemetry?color=red"}) {
        CAPTURE(target);
        const auto answer = api.get(target);
        CHECK(answer.status == 400);
        CHECK(answer.code() == "INVALID_ARGUMENT");
        CHECK_FALSE(answer.body.at("ok").as_bool());
        CHECK_FALSE(answer.body.at("error").as_string().empty());
    }
    CHECK(api.get("/api/jobs?tag=a%20b+c").status == 200);
}

TEST_CASE("a program adds routes to the table, replaces core's, and reads names and the rest of a path") {
    Api api;
    api.router.add({"GET", "/downloads/*rest", Role::read, "A file.", {{.name = "v"}}, [](const Request&, const RouteMatch& match) {
                        return Response::json(200, {{"rest", match.path.at("rest")}, {"v", match.query_value("v").value_or("-")}});
                    }});
    CHECK(api.get("/downloads/a/b%20c.mp4?v=1").body.at("rest") == "a/b c.mp4");
    CHECK(api.get("/downloads/a?v=1").body.at("v") == "1");
    for (const char* tricky : {"/downloads/../x", "/downloads/%2e%2e/x", "/downloads/a%2fb", "/downloads/a//b", "/downloads/",
                               "/downloads/a%00b", "/downloads/..%5cx"}) {
        CAPTURE(tricky);
        CHECK(api.get(tricky).status == 404);
    }
    const auto before = api.router.routes().size();
    const auto* generic = api.router.find("POST", "/api/jobs");
    REQUIRE(generic);
    Route mine = *generic;
    mine.body->push_back({.name = "mine", .type = RouteField::Type::boolean});
    mine.body->front().required = false;  // The kind.
    mine.handle = [generic_handle = generic->handle](const Request& request, const RouteMatch& match) {
        if (match.body.contains("mine")) return Response::json(200, {{"mine", match.body.at("mine")}});
        return generic_handle(request, match);
    };
    api.router.add(std::move(mine));
    CHECK(api.router.routes().size() == before);
    CHECK(api.post("/api/jobs", R"({"mine":true})").body.at("mine") == true);
    CHECK(api.post("/api/jobs", R"({"mine":1})").code() == "INVALID_ARGUMENT");
    CHECK(api.post("/api/jobs", "{}").code() == "INVALID_ARGUMENT");
    CHECK(api.post("/api/jobs", R"({"kind":"demo.echo"})").status == 201);
}

TEST_CASE("an exact word goes before a name") {
    Api api;
    api.router.add({"GET", "/api/jobs/stats", Role::read, "Numbers.", {}, [](const Request&, const RouteMatch&) {
                        return Response::json(200, {{"stats", true}});
                    }});
    CHECK(api.get("/api/jobs/stats").body.at("stats") == true);
    CHECK(api.get("/api/jobs/other").code() == "JOB_NOT_FOUND");
}

TEST_CASE("an exception of a handler is a 500 that does not tell, and the log has it") {
    std::string logged;
    ApiOptions options;
    options.log = [&](std::string_view line) { logged = line; };
    Api api(options);
    api.router.add({"GET", "/boom", Role::read, "Fails.", {}, [](const Request&, const RouteMatch&) -> Response {
                        throw std::runtime_error("SELECT * FROM secret");
                    }});
    api.router.add({"GET", "/bang", Role::read, "Fails.", {}, [](const Request&, const RouteMatch&) -> Response { throw 7; }});
    const auto answer = api.get("/boom");
    CHECK(answer.status == 500);
    CHECK(answer.code() == "INTERNAL");
    CHECK(std::get<std::string>(answer.response.body).find("secret") == std::string::npos);
    CHECK(logged.find("SELECT * FROM secret") != std::string::npos);
    CHECK(logged.find(answer.header("x-trace-id")) != std::string::npos);
    CHECK(api.get("/bang").code() == "INTERNAL");
}

TEST_CASE("every answer carries security headers and is not cached") {
    Api api;
    for (const char* target : {"/api/health", "/nowhere", "/api/status"}) {
        const auto answer = api.get(target);
        CAPTURE(target);
        CHECK(answer.header("x-content-type-options") == "nosniff");
        CHECK(answer.header("content-security-policy").find("default-src 'none'") == 0);
        CHECK(answer.header("referrer-policy") == "no-referrer");
        CHECK(answer.header("x-frame-options") == "DENY");
        CHECK(answer.header("cache-control") == "no-store");
        CHECK(answer.header("content-type") == "application/json; charset=utf-8");
    }
}

TEST_CASE("a trace id is taken from x-trace-id, then from traceparent, else made") {
    Api api;
    const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const auto trace = [&](const Headers& headers) { return api.call("GET", "/api/health", "", headers).header("x-trace-id"); };
    CHECK(trace({{"x-trace-id", "my-trace"}, {"traceparent", parent}}) == "my-trace");
    CHECK(trace({{"x-trace-id", std::string(500, 'x')}}) == std::string(120, 'x'));
    CHECK(trace({{"x-trace-id", "a\r\nset-cookie: b\x80\x01"}}) == "aset-cookie:b");
    CHECK(trace({{"traceparent", parent}}) == "0af7651916cd43dd8448eb211c80319c");
    CHECK(trace({{"x-trace-id", " "}, {"traceparent", parent}}) == "0af7651916cd43dd8448eb211c80319c");
    for (const char* bad : {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7", "",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
                            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}) {
        CAPTURE(bad);
        const auto made = trace({{"traceparent", bad}});
        CHECK(made.size() == 32);
        CHECK(made != "0af7651916cd43dd8448eb211c80319c");
    }
    CHECK(trace({}) != trace({}));
}
