// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <thread>

#include <jobruntime/memory.hpp>

#include "host/src/session_watch.hpp"
#include "support/mostly.hpp"

using namespace jobruntime;
using namespace jobruntime::host;
using namespace std::chrono_literals;

namespace {

SessionId session(std::uint8_t number) {
    SessionId id;
    id.bytes[15] = number;
    return id;
}

SessionFacts facts(std::string host, bool stopped = false) {
    SessionFacts made;
    made.host = std::move(host);
    made.works = true;
    made.stopped = stopped;
    return made;
}

WatchOptions options() {
    WatchOptions made;
    made.lease = Duration{3'000};
    made.heartbeat = Duration{1'000};
    made.own_host = "here";
    return made;
}

std::vector<LiveProcess> look(Store& store) {
    auto found = live_processes(store, system_clock(), options());
    REQUIRE(found.has_value());
    return *std::move(found);
}

}  // namespace

TEST_CASE("clocks ten minutes apart hide no live process, and are measured to the second") {
    const auto store = memory::open();
    // Both beat now; one clock is ten minutes slow, the other five seconds fast.
    const std::pair<std::uint8_t, Duration> others[] = {
        {1, Duration{-600'000}}, {2, Duration{5'000}}, {3, Duration{0}}};
    const auto beat_all = [&] {
        for (const auto& [number, off] : others)
            static_cast<void>(
                store->beat(session(number), facts("there"), system_clock().wall() + off).has_value());
    };
    beat_all();  // The rows are there before anybody looks.
    std::jthread beating([&](const std::stop_token& stop) {
        for (; !stop.stop_requested(); std::this_thread::sleep_for(200ms)) beat_all();
    });
    // A row of a process elsewhere that died fresh: by its clock it could live.
    REQUIRE(store->beat(session(9), facts("there"), system_clock().wall()));
    const auto live = look(*store);
    REQUIRE(live.size() == 3);
    for (const auto& process : live) {
        const auto number = process.session.id.bytes[15];
        CAPTURE(number);
        REQUIRE(process.ahead.has_value());
        const auto expected = others[number - 1].second;
        CHECK(std::abs((*process.ahead - expected).count()) < 1'000);
    }
}

TEST_CASE("processes of this host are told without waiting, the ended are not named") {
    const auto store = memory::open();
    const auto now = system_clock().wall();
    REQUIRE(store->beat(session(1), facts("here"), now - Duration{1'000}));
    REQUIRE(store->beat(session(2), facts("here"), now - Duration{10'000}));
    REQUIRE(store->beat(session(3), facts("here", true), now));
    REQUIRE(store->beat(session(4), facts("there", true), now));
    std::vector<LiveProcess> live;
    CHECK(tests::mostly_within(900ms, [&] {
        const auto begun = std::chrono::steady_clock::now();
        live = look(*store);
        return std::chrono::steady_clock::now() - begun;
    }));
    REQUIRE(live.size() == 1);
    CHECK(live.front().session.id == session(1));
    CHECK_FALSE(live.front().ahead.has_value());
}

TEST_CASE("what does not fit together among live processes is said in words") {
    const auto process = [](std::string version, std::string store, std::string sink,
                            std::optional<Duration> ahead) {
        LiveProcess made;
        made.session.facts = facts("host-" + version);
        made.session.facts.version = std::move(version);
        made.session.facts.details = {{"store", store}};
        if (!sink.empty()) made.session.facts.details["telemetrySink"] = sink;
        made.ahead = ahead;
        return made;
    };
    CHECK(mismatches({}, "1.0").empty());
    CHECK(mismatches({process("1.0", "s", "", {}), process("1.0", "s", "store", Duration{2'000})}, "1.0")
              .empty());
    const auto said = mismatches({process("1.0", "sqlite:/a", "store", Duration{-2'001}),
                                  process("1.1", "sqlite:/b", "memory", Duration{600'000})},
                                 "1.0");
    REQUIRE(said.size() == 5);
    CHECK(said[0].find("versions differ: 1.1") != std::string::npos);
    CHECK(said[1].find("sqlite:/b") != std::string::npos);
    CHECK(said[2].find("memory") != std::string::npos);
    CHECK(said[3].find("2001 ms behind") != std::string::npos);
    CHECK(said[4].find("600000 ms ahead of") != std::string::npos);
}
