// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Requests that may wait, without a host: what the router says of them.
#include "api_fixture.hpp"

using namespace api_test;

namespace {

using Patience = Request::Patience;

Request request_for(std::string method, std::string target, Patience patience, std::string body = {}, const Headers& headers = {}) {
    Request request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.body = std::move(body);
    request.headers = headers;
    request.headers.emplace_back("host", "127.0.0.1:4000");
    request.headers.emplace_back("content-type", "application/json");
    request.patience = patience;
    return request;
}

const Later* later_of(const Response& response) { return std::get_if<Later>(&response.body); }

std::string header_of(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers)
        if (key == name) return value;
    return {};
}

boost::json::object body_of(const Response& response) {
    return boost::json::parse(std::get<std::string>(response.body)).as_object();
}

}  // namespace

TEST_CASE("a job may be waited for until it has ended, and is shown at once to whoever may not wait") {
    Api api;
    const auto id = api.create();
    const auto ask = [&](Patience patience, std::string query = "?wait=30s") {
        return api.router.handle(request_for("GET", "/api/jobs/" + id + query, patience));
    };
    for (const auto patience : {Patience::none, Patience::over}) {
        const auto response = ask(patience);
        CHECK(response.status == 200);
        CHECK(body_of(response).at("job").at("status") == "queued");
    }
    const auto response = ask(Patience::some);
    const auto* later = later_of(response);
    REQUIRE(later);
    CHECK(later->patience == Duration{30'000});
    CHECK(later->job.str() == id);
    CHECK(later->ended);
    CHECK_FALSE(later->again);
    for (const char* none : {"", "?wait=", "?wait=0s", "?wait=0ms"}) CHECK_FALSE(later_of(ask(Patience::some, none)));
    CHECK(later_of(ask(Patience::some, "?wait=500ms"))->patience == Duration{500});
    CHECK(later_of(ask(Patience::some, "?wait=60s")));
    CHECK(ask(Patience::some, "?wait=61s").status == 400);
    api.settle(api.claim(api.beat(1)), Verdict::completed);
    CHECK(body_of(ask(Patience::some)).at("job").at("status") == "completed");
    REQUIRE(api.queue.remove(*JobId::parse(id)));
    CHECK(ask(Patience::some).status == 404);
}

TEST_CASE("whoever names the tag of what he knows waits for anything else, whatever state the job is in") {
    Api api;
    const auto id = api.create();
    const auto ask = [&](const std::string& tag, Patience patience = Patience::some) {
        return api.router.handle(request_for("GET", "/api/jobs/" + id + "?wait=30s", patience, {}, {{"if-none-match", tag}}));
    };
    const auto tag = header_of(ask("\"another\""), "etag");
    REQUIRE_FALSE(tag.empty());
    auto response = ask(tag);
    REQUIRE(later_of(response));
    CHECK_FALSE(later_of(response)->ended);
    CHECK(ask(tag, Patience::over).status == 304);
    CHECK(ask(tag, Patience::none).status == 304);
    api.settle(api.claim(api.beat(1)), Verdict::completed);
    response = ask(tag);
    CHECK(response.status == 200);
    CHECK(later_of(ask(header_of(response, "etag"))));
}

TEST_CASE("a claim may wait for a job of its kinds, and no claim but the first reads who is there") {
    Api api;
    const auto begun = api.post("/api/worker/beat", R"({"kinds":["demo.echo"]})");
    const auto session = text(begun.body.at("session"));
    int reads = 0;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "sessions") ++reads;
        return std::nullopt;
    };
    const auto claim = [&](Patience patience, const std::string& more) {
        return api.router.handle(request_for("POST", "/api/worker/claim", patience,
                                             R"({"session":")" + session + R"(","kinds":["demo.echo"])" + more + "}"));
    };
    const std::string wait = R"(,"wait":"20s")";
    auto response = claim(Patience::some, wait);
    REQUIRE(later_of(response));
    CHECK(later_of(response)->patience == Duration{20'000});
    CHECK(later_of(response)->again == Duration{5'000});
    CHECK_FALSE(later_of(response)->job);
    CHECK(later_of(response)->queue == "default");
    CHECK(later_of(response)->kinds == std::vector<std::string>{"demo.echo"});
    CHECK(body_of(claim(Patience::over, wait)).at("askAgainMs") == 0);
    CHECK(body_of(claim(Patience::none, wait)).at("askAgainMs") == 1'000);
    CHECK(body_of(claim(Patience::over, "")).at("askAgainMs") == 1'000);
    CHECK_FALSE(later_of(claim(Patience::some, "")));
    CHECK_FALSE(later_of(claim(Patience::some, wait + R"(,"alone":true)")));
    CHECK(claim(Patience::some, R"(,"wait":"31s")").status == 400);
    // Looked at again when the next job is due, and soon while the queue is paused, of whose resumption nobody tells.
    CHECK(reads == 0);
    api.create(R"({"kind":"demo.echo","delayMs":2000})");
    reads = 0;  // The new job is shown with why it waits.
    CHECK(later_of(claim(Patience::some, wait))->again == Duration{2'000});
    REQUIRE(api.queue.pause("default"));
    CHECK(later_of(claim(Patience::some, wait))->again == Duration{1'000});
    REQUIRE(api.queue.resume("default"));
    api.clock.advance(Duration{2'000});
    CHECK(body_of(claim(Patience::some, wait)).at("jobs").as_array().size() == 1);
    CHECK(api.post("/api/worker/beat", R"({"session":")" + session + R"(","kinds":["demo.echo"]})").status == 200);
    CHECK(reads == 0);
}

TEST_CASE("an answer that is to come later is not counted, and one to a request that cannot wait is a fault of its route") {
    Api api;
    api.router.add({"GET", "/never", Role::read, "Never.", {}, [](const Request&, const RouteMatch&) {
                        Response response;
                        response.body = Later{};
                        return response;
                    }});
    CHECK(later_of(api.router.handle(request_for("GET", "/never", Patience::some))));
    const auto metrics = std::get<std::string>(api.router.handle(request_for("GET", "/metrics", Patience::none)).body);
    CHECK(metrics.find("class=\"2xx\"} 0\n") != std::string::npos);
    for (const auto patience : {Patience::none, Patience::over})
        CHECK(api.router.handle(request_for("GET", "/never", patience)).status == 500);
}
