// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>
#include <iostream>

#include <doctest/doctest.h>

#include <jobruntime/clock.hpp>

#include "e2e/support.hpp"

// The worker in Python of examples/ against an API on its own: docs/worker-protocol.md as it is lived.
namespace jobruntime::e2e {
namespace {

/// An API without a worker, and as many of Python's as a test wants.
class Site {
public:
    Site() : variables_(environment(folder_)) {
        variables_["ROLE"] = "api";
        api_.emplace(folder_, variables_);
    }
    int port() const { return api_->port(); }
    std::unique_ptr<Program> worker() {
        auto worker = std::make_unique<Program>(
            std::vector<std::string>{"python3", tests::source("examples/http_worker.py"), "http://127.0.0.1:" + std::to_string(port())}, variables_,
            folder_.path());
        CHECK(eventually(20s, [&] { return seen(worker->pid()); }));
        return worker;
    }
    /// A live session of role remote with this pid.
    bool seen(int pid) const {
        const auto answer = http(port(), "GET", "/api/workers").json();
        const auto* all = answer.if_contains("workers");
        if (!all) return false;
        for (const auto& one : all->get_array())
            if (one.at("pid").to_number<int>() == pid && text(one.get_object(), "role") == "remote") return true;
        return false;
    }
    std::string submit(const std::string& payload) const {
        const auto answer = http(port(), "POST", "/api/jobs", R"({"kind":"demo.greet","payload":)" + payload + "}");
        REQUIRE_MESSAGE(answer.status == 201, answer.body);
        return text(answer.json().at("job").get_object(), "id");
    }
    boost::json::object job(const std::string& id) const {
        const auto answer = http(port(), "GET", "/api/jobs/" + id).json();
        const auto* job = answer.if_contains("job");
        return job ? job->get_object() : boost::json::object();
    }
    boost::json::object wait(const std::string& id, const std::string& status, Millis limit = 30s) const {
        eventually(limit, [&] { return text(job(id), "status") == status; });
        const auto found = job(id);
        INFO(boost::json::serialize(found));
        CHECK(text(found, "status") == status);
        return found;
    }

private:
    Folder folder_;
    Variables variables_;
    std::optional<Service> api_;
};

TEST_CASE("a worker of sixty lines of Python succeeds, fails and tries again, and hears a cancel") {
    Site site;
    const auto worker = site.worker();
    auto job = site.wait(site.submit(R"({"name":"Ada"})"), "completed");
    CHECK(job.at("result").at("text") == "Hello, Ada");
    CHECK(told(site.port(), text(job, "id"),
                   {"worker.job.claimed", "worker.job.progress", "worker.job.log", "worker.job.completed"}));

    job = site.wait(site.submit(R"({"failTimes":1})"), "completed");
    CHECK(job.at("attempt") == 2);
    CHECK(text(job.at("errors").at(0).get_object(), "code") == "NOT_YET");

    const auto id = site.submit(R"({"ms":60000})");
    site.wait(id, "running");
    CHECK(http(site.port(), "POST", "/api/jobs/" + id + "/cancel").status == 202);
    site.wait(id, "canceled");
    CHECK_FALSE(worker->wait(0ms));
}

TEST_CASE("a worker by HTTP that waits gets a job soon after it was put in") {
    Site site;
    const auto worker = site.worker();
    std::vector<Millis> took;
    for (int i = 0; i < 9; ++i) {
        const auto job = site.wait(site.submit(R"({"name":"Ada"})"), "completed");
        const auto made = parse_iso(text(job, "createdAt")), begun = parse_iso(text(job, "startedAt"));
        REQUIRE((made && begun));
        took.push_back(*begun - *made);
    }
    std::ranges::sort(took);
    MESSAGE("claimed after " << took[4].count() << " ms in the middle, " << took.back().count() << " ms at most");
    // Who asks once a second hears of half of them only after half a second.
    CHECK(took[4] < 400ms);
}

TEST_CASE("the jobs of a Python worker that is killed run at another, and a late word of a lost attempt is refused") {
    Site site;
    auto first = site.worker();
    const auto id = site.submit(R"({"ms":1500})");
    site.wait(id, "running");
    ::kill(first->pid(), SIGKILL);
    const auto second = site.worker();
    auto job = site.wait(id, "completed");
    CHECK(job.at("result").at("pid").to_number<int>() == second->pid());
    CHECK(told(site.port(), id, {"worker.job.claimed", "worker.job.recovered", "worker.job.claimed",
                                                "worker.job.completed"}));
    CHECK(second->stop().has_value());

    // A worker that this test plays and that falls silent in the middle of a job.
    const auto said = [&](const std::string& verb, const std::string& body) {
        return http(site.port(), "POST", "/api/worker/" + verb, body);
    };
    const auto session = text(said("beat", R"({"kinds":["demo.greet"]})").json(), "session");
    const auto lost = site.submit("{}");
    const auto claimed = said("claim", R"({"session":")" + session + R"(","kinds":["demo.greet"]})").json();
    REQUIRE(claimed.at("jobs").as_array().size() == 1);
    const auto fence = text(claimed.at("jobs").at(0).get_object(), "fence");
    // And one that stops its session, as after a claim whose answer was lost: that is no crash.
    const auto other = text(said("beat", R"({"kinds":["demo.greet"]})").json(), "session");
    const auto unheard = site.submit("{}");
    CHECK(said("claim", R"({"session":")" + other + R"(","kinds":["demo.greet"]})").json().at("jobs").as_array().size() == 1);
    CHECK(said("beat", R"({"session":")" + other + R"(","kinds":["demo.greet"],"stopped":true})").status == 200);
    const auto third = site.worker();
    CHECK(site.wait(unheard, "completed").at("crashes") == 0);
    site.wait(lost, "completed");
    CHECK(told(site.port(), lost, {"worker.job.recovered", "worker.job.completed"}));
    const auto late = said("settle", R"({"jobId":")" + lost + R"(","fence":")" + fence +
                                         R"(","outcome":"failed","code":"LATE"})");
    check_refusal(late, 409, "FENCE_LOST");
    CHECK(text(site.job(lost), "status") == "completed");
    check_refusal(said("beat", R"({"session":")" + session + R"(","kinds":["demo.greet"]})"), 409, "SESSION_LOST");
}

}  // namespace
}  // namespace jobruntime::e2e
