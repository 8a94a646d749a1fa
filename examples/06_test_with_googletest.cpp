// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// The same in GoogleTest, with a store that fails when told to.
#include <gtest/gtest.h>

#include <jobruntime/jobruntime.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/testing/harness.hpp>

using namespace std::chrono_literals;
using jobruntime::JobState;

struct Resize { static constexpr auto kind = "image.resize"; int width = 0; };
BOOST_DESCRIBE_STRUCT(Resize, (), (width))

TEST(Resize, ResultIsKept) {
    jobruntime::testing::Harness jobs;
    jobs.on<Resize>([](const Resize& image, jobruntime::JobContext&) {
        return jobruntime::completed({{"height", image.width / 2}});
    });
    const auto id = jobs.enqueue(Resize{.width = 640});
    EXPECT_EQ(jobs.drain(), 1);
    EXPECT_EQ(jobs.job(id).result.at("height"), 320);
}

TEST(Resize, EndOfAJobSurvivesAnOutage) {
    const auto memory = jobruntime::memory::open();
    jobruntime::testing::FaultyStore store(*memory);
    jobruntime::testing::Harness jobs({.store = &store});
    int runs = 0;
    jobs.on<Resize>([&](const Resize&, jobruntime::JobContext&) {
        ++runs;
        store.fail_next(jobruntime::testing::Verb::settle, jobruntime::Errc::unavailable, 1);
        return jobruntime::completed();
    });
    const auto id = jobs.enqueue(Resize{.width = 640});
    EXPECT_TRUE(jobs.run_one());
    EXPECT_EQ(jobs.job(id).state, JobState::running);  // Done, and not written yet.
    jobs.advance(1s);
    EXPECT_FALSE(jobs.run_one());
    EXPECT_EQ(jobs.job(id).state, JobState::completed);
    EXPECT_EQ(runs, 1);
}
