// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <cmath>
#include <map>

#include "core/job_counters.hpp"

using namespace api_test;

namespace {

/// The text of /metrics.
std::string scrape(ApiRouter& router) {
    Request request{"GET", "/metrics", {{"host", "localhost"}}, "", ""};
    const auto response = router.handle(request);
    REQUIRE(response.status == 200);
    CHECK(Answer{response}.header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    return std::get<std::string>(response.body);
}
std::string scrape(Api& api) { return scrape(api.router); }

/// Each sample's value, by name and labels as they stand there.
std::map<std::string, double> samples(const std::string& text) {
    std::map<std::string, double> values;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        const auto line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with('#')) continue;
        const auto space = line.rfind(' ');
        CHECK_MESSAGE(values.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second, line);
    }
    return values;
}

std::string outcome(const std::string& what, const std::string& kind = "demo.echo") {
    return R"(jobrt_job_outcomes_total{queue="default",kind=")" + kind + R"(",outcome=")" + what + R"("})";
}
std::string of_echo(const std::string& name, const std::string& le = {}) {
    return name + R"({queue="default",kind="demo.echo")" + (le.empty() ? "}" : ",le=\"" + le + "\"}");
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
        auto name = line.substr(0, line.find_first_of("{ "));
        for (const auto* part : {"_bucket", "_sum", "_count"})
            if (const auto whole = name.substr(0, name.rfind(part));
                text.find("# TYPE " + whole + " histogram\n") != std::string::npos)
                name = whole;
        CHECK(text.find("# TYPE " + name + " ") < text.find("\n" + name));
    }
    api.fail(Errc::unavailable);
    const auto down = api.get("/metrics");
    CHECK(down.code() == "STORE_UNAVAILABLE");
    CHECK_FALSE(down.header("retry-after").empty());
}

TEST_CASE("metrics count what came and how it ended, by queue and kind, and how long it waited and ran") {
    Api api;
    scrape(api);
    const auto worker = api.beat(1);
    for (int i = 0; i < 5; ++i) api.create();
    api.create(R"({"kind":"demo.other","queue":"side"})");
    api.clock.advance(Duration{4'500});
    const auto first = api.claim(worker);
    api.clock.advance(Duration{200});
    api.settle(first, Verdict::completed);
    for (const auto verdict : {Verdict::failed, Verdict::retry, Verdict::snooze, Verdict::released})
        api.settle(api.claim(worker), verdict, "BROKEN", "it broke");
    const auto of_jobs = [&] {
        auto values = samples(scrape(api));
        std::erase_if(values, [](const auto& sample) { return !sample.first.starts_with("jobrt_job"); });
        return values;
    };
    const auto values = of_jobs();
    CHECK(values.at(of_echo("jobrt_jobs_enqueued_total")) == 5);
    CHECK(values.at(R"(jobrt_jobs_enqueued_total{queue="side",kind="demo.other"})") == 1);
    for (const auto* what : {"completed", "failed", "retried", "released", "snoozed"}) CHECK(values.at(outcome(what)) == 1);
    for (const auto* what : {"canceled", "recovered"}) CHECK(values.at(outcome(what)) == 0);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_bucket", "2.5")) == 0);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_bucket", "10")) == 5);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_bucket", "+Inf")) == 5);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_count")) == 5);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_sum")) == doctest::Approx(4.5 + 4 * 4.7));
    CHECK(values.at(of_echo("jobrt_job_run_seconds_bucket", "0.005")) == 4);
    CHECK(values.at(of_echo("jobrt_job_run_seconds_bucket", "0.1")) == 4);
    CHECK(values.at(of_echo("jobrt_job_run_seconds_bucket", "0.25")) == 5);
    CHECK(values.at(of_echo("jobrt_job_run_seconds_sum")) == doctest::Approx(0.2));
    CHECK(of_jobs() == values);  // Nothing is counted twice.
}

TEST_CASE("each process on a store counts all that happens there from its first look on, in whichever order they look") {
    Api api;
    ApiOptions options;
    options.clock = &api.clock;
    ApiRouter second(api.queue, options);
    scrape(api);
    scrape(second);
    const auto worker = api.beat(1);
    for (int i = 1; i <= 6; ++i) {
        api.create();
        if (i % 2 == 0) scrape(second);
        if (i % 3 == 0) scrape(api);
        api.clock.advance(Duration{100});
        api.settle(api.claim(worker), Verdict::completed);
        for (auto* router : {&api.router, &second}) {
            const auto values = samples(scrape(*router));
            CHECK(values.at(outcome("completed")) == i);
            CHECK(values.at(of_echo("jobrt_jobs_enqueued_total")) == i);
            CHECK(values.at(of_echo("jobrt_job_wait_seconds_sum")) == doctest::Approx(0.1 * i));
        }
    }
    // One that comes later begins with what happens then; how long a job has waited it knows from before.
    api.create();
    ApiRouter third(api.queue, options);
    CHECK_FALSE(samples(scrape(third)).contains(of_echo("jobrt_jobs_enqueued_total")));
    api.clock.advance(Duration{300});
    api.claim(worker);
    const auto values = samples(scrape(third));
    CHECK(values.at(of_echo("jobrt_jobs_enqueued_total")) == 0);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_sum")) == doctest::Approx(0.3));
}

TEST_CASE("a job waits since it was due, however often it is asked for again or moved meanwhile") {
    Api api;
    scrape(api);
    const auto worker = api.beat(1);
    const std::string again = R"({"kind":"demo.echo","uniqueKey":"one"})";
    const auto id = api.create(again);
    for (int i = 0; i < 3; ++i) {
        api.clock.advance(Duration{1'000});
        api.post("/api/jobs", again);
    }
    Change raise;
    raise.action = Action::reprioritise;
    raise.priority = 7;
    REQUIRE(api.queue.change(*JobId::parse(id), raise));
    api.clock.advance(Duration{500});
    const auto claimed = api.claim(worker);
    api.clock.advance(Duration{2'000});
    api.post("/api/jobs", again);
    api.settle(claimed, Verdict::completed);
    const auto values = samples(scrape(api));
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_count")) == 1);
    CHECK(values.at(of_echo("jobrt_job_wait_seconds_sum")) == doctest::Approx(3.5));
    CHECK(values.at(of_echo("jobrt_job_run_seconds_count")) == 1);
    CHECK(values.at(of_echo("jobrt_job_run_seconds_sum")) == doctest::Approx(2));
}

TEST_CASE("a bucket has what is as long as its bound, and each has what those below it have") {
    core::Histogram histogram;
    const auto& bounds = core::Histogram::bounds;
    for (const double bound : bounds) histogram.add(Duration{std::llround(bound * 1000)});
    histogram.add(Duration{std::llround(bounds.back() * 1000) + 1});
    for (std::size_t i = 0; i < bounds.size(); ++i) CHECK(histogram.up_to(i) == i + 1);
    CHECK(histogram.up_to(bounds.size()) == bounds.size() + 1);
}

TEST_CASE("metrics need a store that can be read, and not one that can be written") {
    Api api;
    scrape(api);
    api.create();
    api.store.before = [](std::string_view verb) -> std::optional<Error> {
        if (verb != "put") return std::nullopt;
        return Error{Errc::full, "STORE_FULL", "no space"};
    };
    CHECK(samples(scrape(api)).at(of_echo("jobrt_jobs_enqueued_total")) == 1);
}

TEST_CASE("ever new queues and kinds make no more series than so many; the others are one") {
    Api api;
    scrape(api);
    std::vector<JobSpec> specs;
    for (int i = 0; i < 300; ++i) {
        JobSpec spec{"kind." + std::to_string(i), {}, {}};
        spec.options.queue = "q" + std::to_string(i);
        specs.push_back(spec);
    }
    REQUIRE(api.queue.enqueue_many(specs));
    const auto values = samples(scrape(api));
    std::size_t pairs = 0, queues = 0;
    double enqueued = 0, jobs = 0;
    for (const auto& [name, value] : values) {
        if (name.starts_with("jobrt_jobs_enqueued_total{")) ++pairs, enqueued += value;
        if (name.starts_with("jobrt_jobs{")) ++queues, jobs += value;
    }
    CHECK(pairs == core::JobCounters::most_pairs + 1);
    CHECK(enqueued == 300);
    CHECK(values.at(R"(jobrt_jobs_enqueued_total{queue="other",kind="other"})") == 250);
    CHECK(queues == 101);
    CHECK(jobs == 300);
}
