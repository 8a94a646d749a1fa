// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <limits>
#include <set>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/event.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/outcome.hpp>

#include "core/ids.hpp"
#include "core/json.hpp"
#include "core/state_event.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;

TEST_CASE("times are written as ISO text and read back") {
    const std::pair<Time, const char*> rows[] = {
        {Time{}, "1970-01-01T00:00:00.000Z"},
        {Time{1ms}, "1970-01-01T00:00:00.001Z"},
        {Time{-1ms}, "1969-12-31T23:59:59.999Z"},
        {std::chrono::sys_days{std::chrono::year{2024} / 2 / 29} + 23h + 59min + 59s + 7ms, "2024-02-29T23:59:59.007Z"},
        {std::chrono::sys_days{std::chrono::year{1600} / 1 / 1}, "1600-01-01T00:00:00.000Z"},
        {std::chrono::sys_days{std::chrono::year{9999} / 12 / 31}, "9999-12-31T00:00:00.000Z"},
    };
    for (const auto& [time, text] : rows) {
        CHECK(to_iso(time) == text);
        const auto read = parse_iso(text);
        REQUIRE(read);
        CHECK(*read == time);
    }
    CHECK(to_iso(Time::max()) == "9999-12-31T23:59:59.999Z");
    CHECK(to_iso(Time::min()) == "0000-01-01T00:00:00.000Z");
}

TEST_CASE("times are read with offsets and fractions, and nothing else") {
    const Time noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + 12h;
    for (const char* text : {"2026-03-01T12:00:00Z", "2026-03-01T14:00:00+02:00", "2026-03-01T06:30:00.000-05:30"}) {
        CAPTURE(text);
        const auto read = parse_iso(text);
        REQUIRE(read);
        CHECK(*read == noon);
    }
    CHECK(*parse_iso("2026-03-01T12:00:00.5Z") == noon + 500ms);
    CHECK(*parse_iso("2026-03-01T12:00:00.123456789Z") == noon + 123ms);
    for (const char* text : {"", "2026-03-01", "2026-03-01T12:00:00", "2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z",
                             "2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2026-03-01T12:00:60Z", "2026-03-01T12:00:00.Z",
                             "2026-03-01T12:00:00.1234567890Z", "2026-03-01t12:00:00Z", " 2026-03-01T12:00:00Z",
                             "2026-03-01T12:00:00Z ", "2026-03-01T12:00:00+2:00", "+026-03-01T12:00:00Z"}) {
        CAPTURE(text);
        const auto read = parse_iso(text);
        REQUIRE(!read);
        CHECK(read.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("text that is no UTF-8 keeps what is") {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"a\xff" "b", "a\xef\xbf\xbd" "b"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // A surrogate.
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                  // Overlong.
        {"\xf0\x9f\x9a\x80 \xe6\x97\xa5", "\xf0\x9f\x9a\x80 \xe6\x97\xa5"},
    };
    for (const auto& [text, valid] : rows) {
        CAPTURE(text);
        CHECK(core::valid_utf8(text) == valid);
        CHECK(core::is_utf8(text) == (text == valid));
    }
}

TEST_CASE("a value has a flaw exactly when its text could not be read again") {
    const auto nested = [](int depth) {
        boost::json::value value = 1;
        for (int i = 0; i < depth; ++i) value = boost::json::object{{"a", std::move(value)}};
        return value;
    };
    const std::pair<boost::json::value, const char*> rows[] = {
        {nullptr, ""},
        {{{"a", {1, 2.5, "x", true}}}, ""},
        {"caf\xc3\xa9", ""},
        {nested(32), ""},
        {nested(33), "nested deeper than 32"},
        {"caf\xe9", "it is not UTF-8"},
        {boost::json::object{{"user", boost::json::object{{"name", "\xff"}}}}, "user.name is not UTF-8"},
        {boost::json::object{{"list", boost::json::array{1, "\xff"}}}, "list[1] is not UTF-8"},
        {boost::json::object{{"\xff", 1}}, "it has a name that is not UTF-8"},
        {boost::json::object{{"n", std::numeric_limits<double>::infinity()}}, "n is not a finite number"},
        {-std::numeric_limits<double>::quiet_NaN(), "it is not a finite number"},
        {std::numeric_limits<double>::max(), ""},
    };
    for (const auto& [value, flaw] : rows) {
        CAPTURE(flaw);
        const auto text = core::to_text(value);
        CAPTURE(text);
        const auto found = core::flaw(value);
        CHECK(found.has_value() == (*flaw != '\0'));
        if (found) CHECK_MESSAGE(found->find(flaw) != std::string::npos, *found);
        if (found) continue;
        CHECK(core::is_json(text));
        CHECK(core::is_json_object(text) == value.is_object());
        CHECK(core::parse_json(text).value() == value);
    }
    for (const char* text : {"", "{", "NaN", "1 2", "\"\xe9\"", "{\"a\":}"}) {
        CAPTURE(text);
        CHECK_FALSE(core::is_json(text));
        CHECK_FALSE(core::parse_json(text));
    }
    CHECK_FALSE(core::is_json("[1e400]"));
    CHECK(core::flaw(core::parse_json("[1e400]").value()).has_value());
}

TEST_CASE("ids are UUID text and back") {
    const auto id = JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1B2C3D4E5F");
    REQUIRE(id);
    CHECK(id->str() == "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");
    CHECK(JobId{}.str() == "00000000-0000-0000-0000-000000000000");
    CHECK(!JobId{});
    for (const char* text : {"", "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5", "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5ff",
                             "0190f3c27b1a-7c3e-9d55-0a1b2c3d4e5f-", "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5g",
                             "{190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"})
        CHECK(!JobId::parse(text));
}

TEST_CASE("new ids are UUIDv7 and rise, whatever the clock does") {
    core::IdSource source(7);
    const Time noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + 12h;
    JobId last;
    for (const Time now : {noon, noon, noon - 1h, noon + 1ms, Time{-5ms}, noon + 2ms})
        for (int i = 0; i < 20'000; ++i) {
            const auto id = source.job(now);
            REQUIRE(id > last);
            REQUIRE((id.bytes[6] >> 4) == 7);
            REQUIRE((id.bytes[8] >> 6) == 2);
            last = id;
        }
    CHECK(JobId{core::IdSource(1).job(noon)}.str().substr(0, 13) == "019ca945-0a00");
}

TEST_CASE("one seed gives one sequence, no seed gives another each time") {
    core::IdSource a(42);
    core::IdSource b(42);
    core::IdSource c;
    core::IdSource d;
    const Time now{1000ms};
    for (int i = 0; i < 10; ++i) CHECK(a.job(now) == b.job(now));
    CHECK(c.job(now) != d.job(now));
    for (int i = 0; i < 1000; ++i) {
        const double drawn = a.random01();
        CHECK(drawn >= 0.0);
        CHECK(drawn < 1.0);
    }
}

TEST_CASE("threads never get the same id") {
    core::IdSource source;
    std::vector<std::vector<JobId>> made(4);
    {
        std::vector<std::jthread> threads;
        for (auto& list : made)
            threads.emplace_back([&] {
                for (int i = 0; i < 5000; ++i) list.push_back(source.job(system_clock().wall()));
            });
    }
    std::set<JobId> all;
    for (const auto& list : made) all.insert(list.begin(), list.end());
    CHECK(all.size() == 20'000);
}

TEST_CASE("states, levels and names are words") {
    for (std::size_t i = 0; i < job_state_count; ++i) {
        const auto state = static_cast<JobState>(i);
        CHECK(parse_job_state(to_string(state)) == state);
    }
    CHECK(!parse_job_state("Queued"));
    CHECK(to_string(static_cast<JobState>(99)) == "unknown");
    for (const auto level : {Level::info, Level::warn, Level::error}) CHECK(parse_level(to_string(level)) == level);
    CHECK(!parse_level("debug"));
    CHECK(is_name("mail.welcome_2-x"));
    CHECK(is_name(std::string(64, 'a')));
    for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("A"), std::string("a b"),
                                   std::string("a/b"), std::string("\xc3\xa4"), std::string("a\0b", 3)})
        CHECK(!is_name(name));
}

TEST_CASE("the back-off doubles up to its cap, give or take its jitter") {
    const Backoff backoff;
    CHECK(backoff.after(1, 0.5) == 10s);
    CHECK(backoff.after(2, 0.5) == 20s);
    CHECK(backoff.after(1, 0.0) == 9s);
    CHECK(backoff.after(13, 0.5) == 6h);
    CHECK(backoff.after(1'000'000, 0.5) == 6h);
    CHECK(backoff.after(-3, 0.5) == 5s);
    CHECK(Backoff{.base = 1s, .cap = 1h, .jitter = 0}.after(3, 0.9) == 8s);
    CHECK(Backoff{.base = 0s}.after(9, 0.5) == 0s);
}

TEST_CASE("an event is one flat object, and its fields never replace what it is") {
    Event event;
    event.id = 7;
    event.name = "worker.job.claimed";
    event.level = Level::warn;
    event.source = "process";
    event.role = "worker";
    event.fields = {{"id", "forged"}, {"event", "forged"}, {"percent", 5}};
    auto json = to_json(event);
    CHECK(json.at("id") == 7);
    CHECK(json.at("event") == "worker.job.claimed");
    CHECK(json.at("ts") == "1970-01-01T00:00:00.000Z");
    CHECK(json.at("level") == "warn");
    CHECK(json.at("percent") == 5);
    CHECK(!json.contains("jobId"));
    CHECK(!json.contains("traceId"));
    event.job.bytes[15] = 1;
    event.trace_id = "t";
    json = to_json(event);
    CHECK(json.at("jobId").as_string() == event.job.str());
    CHECK(json.at("traceId") == "t");
}

TEST_CASE("JSON is read whole, bounded in depth, or not at all") {
    CHECK(core::parse_json(" [1, 2] ").has_value());
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(core::parse_json(nested(core::json_depth)).has_value());
    for (const std::string& text : {nested(core::json_depth + 1), nested(100'000), std::string(), std::string("{"),
                                    std::string("1 2"), std::string("nul"), std::string("\"\xff\"")}) {
        const auto read = core::parse_json(text);
        REQUIRE(!read);
        CHECK(read.error().code == Errc::invalid_argument);
        CHECK(!core::parse_json_object(text));
    }
    CHECK(!core::parse_json_object("[]"));
    CHECK(core::parse_json_object("{}")->empty());
}

TEST_CASE("stored lists read back, and damage is told as corrupt") {
    const std::vector<JobError> errors{{Time{5ms}, 2, "CODE", "a \"message\""}, {Time{-5ms}, 3, "", ""}};
    CHECK(*core::errors_from_text(core::errors_to_text(errors)) == errors);
    CHECK(core::errors_from_text("")->empty());
    const std::vector<std::string> tags{"a", "", "\xc3\xa4"};
    CHECK(*core::tags_from_text(core::tags_to_text(tags)) == tags);
    for (const char* text : {"{", "{}", "[1]", "[{}]"}) {
        CHECK(core::errors_from_text(text).error().code == Errc::corrupt);
        CHECK(core::tags_from_text(text).error().code == Errc::corrupt);
    }
}

TEST_CASE("a text is cut between characters") {
    CHECK(core::cut("abc", 3) == "abc");
    CHECK(core::cut("abc", 2) == "ab");
    CHECK(core::cut("a\xe6\x97\xa5", 3) == "a");
    CHECK(core::cut("\xe6\x97\xa5", 2) == "");
}

TEST_CASE("the value of an error throws, and says what went wrong: also where there is no value") {
    const Error error{Errc::unsupported, "STORE_REFUSED", "app.db is another program's database"};
    const Result<int> number = error;
    const Result<void> nothing = error;
    const std::string said = "unsupported (STORE_REFUSED): app.db is another program's database";
    CHECK_THROWS_WITH_AS(static_cast<void>(number.value()), said.c_str(), BadResult);
    CHECK_THROWS_WITH_AS(static_cast<void>(*number), said.c_str(), BadResult);
    CHECK_THROWS_WITH_AS(nothing.value(), said.c_str(), BadResult);
    CHECK_THROWS_WITH_AS(static_cast<void>(Result<std::string>(Error{Errc::full, "no space"}).value()),
                         "full: no space", BadResult);
    CHECK(Result<int>(7).value() == 7);
    Result<void>{}.value();
}
