// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// A handler tested without threads, files or waiting.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <jobruntime/jobruntime.hpp>
#include <jobruntime/testing/harness.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

struct Welcome { static constexpr auto kind = "mail.welcome"; std::string to; };
BOOST_DESCRIBE_STRUCT(Welcome, (), (to))

TEST_CASE("a welcome mail is tried again while the mail server is down") {
    bool server_is_up = false;
    std::string sent_to;
    testing::Harness jobs;
    jobs.on<Welcome>([&](const Welcome& mail, JobContext&) -> Outcome {
        if (!server_is_up) return retry("SMTP_DOWN", "mail server refused");
        sent_to = mail.to;
        return completed();
    });

    const auto id = jobs.enqueue(Welcome{"ada@example.org"});
    CHECK(jobs.run_one());
    CHECK(jobs.job(id).state == JobState::scheduled);
    CHECK(jobs.job(id).errors.back().code == "SMTP_DOWN");
    CHECK_FALSE(jobs.run_one());  // Not before its time.

    server_is_up = true;
    jobs.advance(1min);
    CHECK(jobs.drain() == 1);
    CHECK(jobs.job(id).state == JobState::completed);
    CHECK(sent_to == "ada@example.org");
    CHECK(jobs.sink().find("worker.job.completed", id));
}
