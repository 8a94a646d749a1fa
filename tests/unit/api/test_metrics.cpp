// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

using namespace api_test;

namespace {

/// The text of /metrics.
std::string scrape(Api& api) {
    Request request{"GET", "/metrics", {{"host", "localhost"}}, "", ""};
    const auto response = api.router.handle(request);
    REQUIRE(response.status == 200);
    CHECK(Answer{response}.header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    return std::get<std::string>(response.body);
}

}  // namespace

TEST_CASE("metrics tell what waits, who works, and what was answered") {
    ApiOptions options;
    options.version = "1.\"2\\3";
    Api api(options);
    const auto has = [&](const std::string& line) {
        const auto text = scrape(api);
        CHECK_MESSAGE(("\n" + text).find("\n" + line + "\n") != std::string::npos, text);
    };
    has(R"(jobrt_build_info{version="1.\"2\\3",role="combined"} 1)");
    has("jobrt_workers 0");
    CHECK(scrape(api).find("\njobrt_worker_heartbeat_age_seconds ") == std::string::npos);
    api.create();
    api.create();
    api.create(R"({"kind":"demo.echo","queue":"other","delayMs":60000})");
    const auto session = api.beat(1);
    api.claim(session);
    api.clock.advance(Duration{4'500});
    has(R"(jobrt_jobs{queue="default",state="queued"} 1)");
    has(R"(jobrt_jobs{queue="default",state="running"} 1)");
    has(R"(jobrt_jobs{queue="other",state="scheduled"} 1)");
    has(R"(jobrt_oldest_due_seconds{queue="default"} 4.5)");
    CHECK(scrape(api).find("jobrt_oldest_due_seconds{queue=\"other\"}") == std::string::npos);
    has("jobrt_workers 1");
    api.get("/nowhere");
    CHECK(scrape(api).find("jobrt_http_responses_total{class=\"4xx\"} 1") != std::string::npos);
    // Every sample belongs to a family that was introduced.
    const auto text = scrape(api);
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        REQUIRE(end != std::string::npos);
        const auto line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with('#')) continue;
        CAPTURE(line);
        const auto name = line.substr(0, line.find_first_of("{ "));
        CHECK(text.find("# TYPE " + name + " ") < text.find("\n" + name));
    }
    api.fail(Errc::unavailable);
    const auto down = api.get("/metrics");
    CHECK(down.code() == "STORE_UNAVAILABLE");
    CHECK_FALSE(down.header("retry-after").empty());
}
