// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <chrono>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/memory.hpp>
#include <jobruntime/telemetry_sink.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/testing/manual_clock.hpp>
#include <jobruntime/testing/recording_sink.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

Event event(std::string name) {
    Event made;
    made.name = std::move(name);
    return made;
}

std::vector<std::string> stored_names(Store& store) {
    std::vector<std::string> names;
    const auto page = store.events(EventId{0}, {}, 2000).value();
    for (const auto& stored : page.events) names.push_back(stored.name);
    return names;
}

}  // namespace

TEST_CASE("secrets are taken out, all else stays") {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"nothing to hide: a=b, x?y", "nothing to hide: a=b, x?y"},
        {"mongodb://app:p@ss/word@db:27017/jobs", "mongodb://app:***@db:27017/jobs"},
        {"https://host:443/@name/video and https://host/@name:x", "https://host:443/@name/video and https://host/@name:x"},
        {"mongodb://app:hunter2@db:27017/jobs?w=1", "mongodb://app:***@db:27017/jobs?w=1"},
        {"http://user@host/ and http://host:80/", "http://user@host/ and http://host:80/"},
        {"https://cdn/v.mp4?Expires=1&Signature=abc~-_&Key-Pair-Id=K1", "https://cdn/v.mp4?Expires=1&Signature=***&Key-Pair-Id=***"},
        {"https://cdn/l.m3u8?hdnea=st=1~exp=2~acl=/*~hmac=ab&b=in&jwt=ey.J", "https://cdn/l.m3u8?hdnea=***&b=in&jwt=***"},
        {"https://cdn/v?X-Amz-Credential=c&X-Amz-Signature=s#t", "https://cdn/v?X-Amz-Credential=***&X-Amz-Signature=***#t"},
        {"https://h/#access_token=abc&x=1", "https://h/#access_token=***&x=1"},
        {"GET /?token=abc HTTP/1.1", "GET /?token=*** HTTP/1.1"},
        {"Authorization: Bearer abc.def\r\nHost: h", "Authorization: ***\r\nHost: h"},
        {"cookie: a=b; c=d\nx", "cookie: ***\nx"},
        {"Set-Cookie:a=b", "Set-Cookie:***"},
        {R"({"Authorization":"Bearer a\"b","x":1})", R"({"Authorization":"***","x":1})"},
        {R"({"cookie": "a=b"})", R"({"cookie": "***"})"},
        {"sent Bearer abcdefghij to it", "sent Bearer *** to it"},
        {"a basic idea", "a basic idea"},
        {"https://jrt_0a1b2c3d_abc:x@h/?jrt_0a1b2c3d_token=1", "https://jrt_0a1b2c3d_***:***@h/?jrt_0a1b2c3d_***=1"},
        {"no cookies here", "no cookies here"},
        {"x?token=", "x?token="},
        {"", ""},
    };
    for (const auto& [text, wanted] : rows) {
        CAPTURE(text);
        CHECK(redact(text) == wanted);
    }
}

TEST_CASE("redacting is quick on long and odd text") {
    for (const std::string_view piece : {"?token", "://", "&", "\"cookie\"", "Authorization", "=\\"}) {
        std::string text;
        while (text.size() < 200'000) text += piece;
        CHECK(redact(text).size() <= text.size() + 16);
    }
}

TEST_CASE("a fan-out reaches every sink") {
    testing::RecordingSink a;
    testing::RecordingSink b;
    const auto both = fan_out({&a, &b});
    both->emit(event("x"), true);
    both->flush();
    CHECK(a.count("x") == 1);
    CHECK(b.count("x") == 1);
}

TEST_CASE("a store sink writes what is not logged yet, in order") {
    const auto store = memory::open({.process = "p", .role = "r"});
    testing::ManualClock clock;
    const auto sink = store_sink(*store, clock);
    for (int i = 0; i < 500; ++i) sink->emit(event("e" + std::to_string(i)), i % 100 == 0);
    sink->flush();
    const auto names = stored_names(*store);
    REQUIRE(names.size() == 495);
    CHECK(names.front() == "e1");
    CHECK(names.back() == "e499");
}

TEST_CASE("a store sink writes at once, and what follows closely with one write for many") {
    const auto memory = memory::open();
    const auto sink = store_sink(*memory, system_clock());
    const auto written = [&] { return stored_names(*memory).size(); };
    const auto begun = std::chrono::steady_clock::now();
    sink->emit(event("first"), false);
    while (written() == 0) std::this_thread::yield();
    std::size_t last = 1, writes = 1, sent = 1;
    while (std::chrono::steady_clock::now() - begun < 300ms) {
        sink->emit(event("e"), false);
        ++sent;
        std::this_thread::sleep_for(std::chrono::microseconds(500));
        if (const auto now = written(); now != last) {
            last = now;
            ++writes;
        }
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    CHECK(static_cast<long>(writes) <= took / std::chrono::milliseconds(20) + 2);
    sink->flush();  // Waits for no pause.
    CHECK(written() == sent);
}

TEST_CASE("a store sink keeps what it has while the store is unavailable") {
    const auto memory = memory::open();
    testing::FaultyStore store(*memory);
    testing::ManualClock clock;
    const auto sink = store_sink(store, clock);
    store.fail_next(testing::Verb::note, Errc::unavailable, 2);
    sink->emit(event("kept"), false);
    sink->flush();
    CHECK(stored_names(*memory).empty());
    while (stored_names(*memory).empty()) {
        REQUIRE(clock.await_waiters(1));
        clock.advance(1s);
        sink->flush();
    }
    CHECK(stored_names(*memory) == std::vector<std::string>{"kept"});
}

TEST_CASE("a store sink drops the oldest beyond its bound and says how many") {
    const auto memory = memory::open();
    testing::FaultyStore store(*memory);
    testing::ManualClock clock;
    const auto sink = store_sink(store, clock);
    store.fail_next(testing::Verb::note, Errc::unavailable, 1'000'000);
    for (int i = 0; i < 1500; ++i) sink->emit(event("e" + std::to_string(i)), false);
    sink->flush();
    store.heal();
    sink->flush();
    const auto events = memory->events(EventId{0}, {}, 2000).value().events;
    std::uint64_t dropped = 0;
    std::size_t kept = 0;
    for (const auto& stored : events) {
        if (stored.name == "telemetry.dropped")
            dropped += static_cast<std::uint64_t>(stored.fields.at("count").to_number<std::uint64_t>());
        else
            ++kept;
    }
    CHECK(dropped >= 500);
    CHECK(dropped + kept == 1500);
    CHECK(events.back().name == "e1499");
}

TEST_CASE("a store sink drops no event of a change for others, and says when it could have to drop one") {
    const auto memory = memory::open();
    testing::FaultyStore store(*memory);
    testing::ManualClock clock;
    const auto sink = store_sink(store, clock);
    const auto both = fan_out({sink.get()});
    const auto count = [&](std::string_view name) { return std::ranges::count(stored_names(*memory), name); };
    store.fail_next(testing::Verb::note, Errc::unavailable, 1'000'000);
    int changes = 0;
    for (; sink->has_room(); ++changes) {
        REQUIRE(changes < 1000);
        sink->emit(event("api.change.done"), false);
        sink->emit(event("e"), false);
        sink->emit(event("e"), false);
    }
    CHECK(changes == 700);
    CHECK_FALSE(both->has_room());
    // Those that were under way, and a flood of others.
    for (int i = 0; i < 100; ++i) sink->emit(event("api.change.done"), false);
    for (int i = 0; i < 3'000; ++i) sink->emit(event("e"), false);
    sink->flush();
    store.heal();
    sink->flush();
    CHECK(count("api.change.done") == 800);
    CHECK(count("e") <= 200);
    CHECK(count("telemetry.dropped") >= 1);
    CHECK(both->has_room());
}

TEST_CASE("an event that the store refuses takes none of its neighbours along, and takes no room") {
    const auto memory = memory::open();
    testing::FaultyStore store(*memory);
    testing::ManualClock clock;
    const auto sink = store_sink(store, clock);
    store.fail_next(testing::Verb::note, Errc::unavailable, 1'000'000);
    for (int i = 0; i < 700; ++i) sink->emit(event("api.change.done"), false);
    sink->flush();
    CHECK_FALSE(sink->has_room());
    store.heal();
    store.fail_next(testing::Verb::note, Errc::invalid_argument, 2);  // A batch, and the first one of it by itself.
    sink->flush();
    sink->flush();  // After a refusal it rests.
    const auto names = stored_names(*memory);
    CHECK(std::ranges::count(names, "api.change.done") == 699);
    CHECK(std::ranges::count(names, "telemetry.dropped") == 1);
    CHECK(sink->has_room());
}

TEST_CASE("a store sink writes what is left when it ends") {
    const auto store = memory::open();
    testing::ManualClock clock;
    {
        const auto sink = store_sink(*store, clock);
        sink->emit(event("last"), false);
    }
    CHECK(stored_names(*store) == std::vector<std::string>{"last"});
}
