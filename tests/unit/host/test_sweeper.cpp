// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/memory.hpp>

#include "core/ids.hpp"
#include "host/src/sweeper.hpp"

using namespace jobruntime;
using host::judge_attempt;

namespace {

const Time noon{Duration{1'800'000'000'000}};

/// A store with one job in the wanted place of its life.
struct Life {
    Life() : store(memory::open()), ids(7), session(ids.session(noon)) {
        NewJob job;
        job.id = id = ids.job(noon);
        job.kind = "media.save";
        REQUIRE(store->insert({&job, 1}, noon).has_value());
        REQUIRE(store->beat(session, {}, noon).has_value());
    }
    void claim() {
        const Want want{"default", {"media.save"}, 1};
        auto claimed = store->claim({&want, 1}, session, ClaimMode::ordinary, noon);
        REQUIRE(claimed.has_value());
        REQUIRE(claimed->jobs.size() == 1);
        fence = claimed->jobs.front().fence;
    }
    void settle(jobruntime::Verdict verdict, const std::string& result = "") {
        Settlement settlement;
        settlement.job = id;
        settlement.fence = fence;
        settlement.verdict = verdict;
        settlement.run_at = noon;
        settlement.result = result;
        settlement.code = "NETWORK";
        auto settled = store->settle({&settlement, 1}, noon);
        REQUIRE(settled.has_value());
        REQUIRE(settled->front().done);
    }
    std::string name(Fence of) const { return "slug/" + id.str() + "-" + std::to_string(static_cast<std::uint64_t>(of)) + ".mp4"; }

    std::unique_ptr<Store> store;
    core::IdSource ids;
    SessionId session;
    JobId id;
    Fence fence = Fence::none;
};

const Fence other{1};

}  // namespace

TEST_CASE("a job that this store does not know is nobody's to tidy") {
    Life life;
    const auto stranger = life.ids.job(noon);
    for (const bool folder : {false, true})
        CHECK(judge_attempt(*life.store, stranger, other, folder) == media::Verdict::unknown);
}

TEST_CASE("a running attempt keeps its files, an earlier attempt's files are dead, work folders may be resumed") {
    Life life;
    life.claim();
    CHECK(judge_attempt(*life.store, life.id, life.fence, false) == media::Verdict::keep);
    CHECK(judge_attempt(*life.store, life.id, Fence{999'999}, false) == media::Verdict::dead);
    CHECK(judge_attempt(*life.store, life.id, Fence{999'999}, true) == media::Verdict::keep);
    life.settle(jobruntime::Verdict::retry);
    CHECK(judge_attempt(*life.store, life.id, life.fence, true) == media::Verdict::keep);
}

TEST_CASE("of a completed job only what its result names is kept") {
    Life life;
    life.claim();
    life.settle(jobruntime::Verdict::completed, R"({"outputPath":")" + life.name(life.fence) + "\"}");
    CHECK(judge_attempt(*life.store, life.id, life.fence, false) == media::Verdict::keep);
    CHECK(judge_attempt(*life.store, life.id, Fence{999'999}, false) == media::Verdict::dead);
    CHECK(judge_attempt(*life.store, life.id, life.fence, true) == media::Verdict::dead);
}

TEST_CASE("a failed job keeps nothing") {
    Life life;
    life.claim();
    life.settle(jobruntime::Verdict::failed);
    for (const bool folder : {false, true})
        CHECK(judge_attempt(*life.store, life.id, life.fence, folder) == media::Verdict::dead);
}
