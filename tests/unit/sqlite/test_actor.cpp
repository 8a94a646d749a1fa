// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>

#include "child.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite::test;

TEST_CASE("who asked for a change is known though the process was killed right after it, before its audit was written") {
    const Scratch scratch;
    const std::string one(36, '?');  // Stands for the job's id.
    struct Row {
        std::string method, target, body;
        std::string_view event;
    };
    const Row rows[] = {
        {"POST", "/api/jobs", R"({"kind":"demo.echo"})", "jobs.create.queued"},
        {"POST", "/api/jobs/" + one + "/cancel", "", "worker.job.canceled"},
        {"POST", "/api/jobs/" + one + "/retry", "", "jobs.retried"},
        {"POST", "/api/jobs/bulk", R"({"action":"cancel","ids":[")" + one + R"("]})", "worker.job.canceled"},
        {"POST", "/api/jobs/bulk", R"({"action":"retry","filter":{"kind":["test.kind"]},"expectedCount":1})", "jobs.retried"},
        {"DELETE", "/api/jobs/" + one, "", "jobs.deleted"},
    };
    JobId job;
    {
        const auto store = open_store(scratch / "jobs.db");
        job = insert_one(*store);
    }
    for (auto row : rows) {
        CAPTURE(row.method);
        CAPTURE(row.target);
        CAPTURE(row.body);
        for (auto* text : {&row.target, &row.body})
            if (const auto at = text->find(one); at != std::string::npos) text->replace(at, one.size(), job.str());
        Child child({"ask", scratch / "jobs.db", row.method, row.target, row.body});
        CHECK(child.line() == "");
        CHECK(child.wait() == -SIGKILL);
        const auto store = open_store(scratch / "jobs.db");
        const auto events = must(store->events(EventId{0}, {}, 100)).events;
        REQUIRE_FALSE(events.empty());
        const auto& last = events.back();
        CHECK(last.name == row.event);
        CHECK(last.fields.at("caller") == "ada");
        CHECK(last.fields.at("tokenId") == "a1b2c3d4");
        CHECK(last.fields.at("from") == "192.0.2.9");
        CHECK(std::ranges::none_of(events, [](const Event& event) { return event.name.starts_with("api."); }));
    }
}

TEST_CASE("an event of a change that nobody is named for takes no more room in the file than it did") {
    const Scratch scratch;
    {
        const auto store = open_store(scratch / "jobs.db");
        insert_one(*store);
        auto job = new_job();
        job.by.from = "::1";
        insert_one(*store, job);
    }
    Caller look(scratch / "jobs.db");
    CHECK(look.number("SELECT count(*) FROM jobrt_event WHERE name IS NULL") == 1);
    CHECK(look.number("SELECT count(*) FROM jobrt_event WHERE name = '{\"from\":\"::1\"}'") == 1);
}
