// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include <doctest/doctest.h>

#include "core/transitions.hpp"
#include "support/places.hpp"

using namespace jobruntime;

namespace {

using Row = std::vector<std::string>;

/// The rows of the one table below a heading, without its head.
std::vector<Row> table_below(std::string_view heading) {
    std::ifstream file(tests::source("docs/states.md"));
    REQUIRE_MESSAGE(file.good(), tests::source("docs/states.md"));
    std::vector<Row> rows;
    bool here = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("## ")) here = line == "## " + std::string(heading);
        if (!here || !line.starts_with("| ")) continue;
        Row row;
        std::istringstream cells(line.substr(2));
        for (std::string cell; std::getline(cells, cell, '|');) {
            const auto end = cell.find_last_not_of(' ');
            const auto begin = cell.find_first_not_of(' ');
            row.push_back(begin == std::string::npos ? "" : cell.substr(begin, end - begin + 1));
        }
        rows.push_back(std::move(row));
    }
    REQUIRE(rows.size() > 1);
    rows.erase(rows.begin());
    return rows;
}

std::string yes(bool value) { return value ? "yes" : "no"; }

std::string text(std::string_view value) { return value.empty() ? "none" : std::string(value); }

template <class Value>
std::string name_of(const std::map<std::string, Value>& names, Value wanted) {
    for (const auto& [name, value] : names)
        if (value == wanted) return name;
    return "?";
}

const std::map<std::string, Verdict> verdicts{{"completed", Verdict::completed}, {"retry", Verdict::retry},
                                              {"snooze", Verdict::snooze},       {"failed", Verdict::failed},
                                              {"canceled", Verdict::canceled},   {"released", Verdict::released}};
const std::map<std::string, Loss> losses{{"crash", Loss::crash}, {"reboot", Loss::reboot}};
const std::map<std::string, Action> actions{{"cancel", Action::cancel},   {"retry", Action::retry},
                                            {"promote", Action::promote}, {"move", Action::move},
                                            {"reprioritise", Action::reprioritise}, {"remove", Action::remove}};
const std::map<std::string, ChangeAnswer::How> answers{{"done", ChangeAnswer::How::done},
                                                       {"requested", ChangeAnswer::How::requested},
                                                       {"invalid_state", ChangeAnswer::How::invalid_state}};

void same_rows(std::vector<Row> documented, std::vector<Row> coded) {
    std::sort(documented.begin(), documented.end());
    std::sort(coded.begin(), coded.end());
    REQUIRE(documented.size() == coded.size());
    for (std::size_t i = 0; i < coded.size(); ++i) {
        REQUIRE(documented[i].size() >= coded[i].size());
        for (std::size_t cell = 0; cell < coded[i].size(); ++cell) {
            CAPTURE(coded[i][0]);
            CAPTURE(coded[i][1]);
            CHECK(documented[i][cell] == coded[i][cell]);
        }
    }
}

}  // namespace

TEST_CASE("docs/states.md says how an attempt ends as the code does") {
    std::vector<Row> coded;
    for (const auto& [name, verdict] : verdicts)
        for (const bool cancel : {false, true}) {
            const auto next = core::after_settle(verdict, cancel);
            coded.push_back({name, yes(cancel), std::string(to_string(next.state)),
                             next.give_attempt_back ? "back" : "charged", next.reset_crashes ? "0" : "as before",
                             yes(next.keep_error), std::string(core::event_name(next.event))});
        }
    same_rows(table_below("How an attempt ends"), coded);
}

TEST_CASE("docs/states.md says what a lost process means as the code does") {
    std::vector<Row> coded;
    for (const auto& [name, loss] : losses)
        for (int crashes = 0; crashes < core::crash_limit; ++crashes)
            for (const bool cancel : {false, true}) {
                const auto next = core::after_loss(crashes, cancel, loss);
                CHECK(next.give_attempt_back);
                coded.push_back({name, std::to_string(crashes), yes(cancel), std::string(to_string(next.state)),
                                 std::to_string(next.crashes), std::to_string(next.delay.count() / 1000) + " s",
                                 text(next.code), std::string(core::event_name(next.event))});
            }
    same_rows(table_below("When the process is lost"), coded);
}

TEST_CASE("docs/states.md says what people may do as the code does") {
    std::vector<Row> coded;
    for (const auto& [name, action] : actions)
        for (std::size_t i = 0; i < job_state_count; ++i) {
            const auto state = static_cast<JobState>(i);
            const auto next = core::after_change(action, state);
            coded.push_back({name, std::string(to_string(state)), name_of(answers, next.how),
                             std::string(to_string(next.state)), text(core::event_name(next.event))});
        }
    same_rows(table_below("What people may do"), coded);
}

TEST_CASE("every event code has a name that leads back to it") {
    for (int code = 1; code <= static_cast<int>(core::last_event_code); ++code) {
        const auto known = static_cast<core::EventCode>(code);
        CHECK(core::event_code(core::event_name(known)) == known);
    }
    CHECK(core::event_code("worker.job.log") == core::EventCode::other);
    CHECK(core::event_code("") == core::EventCode::other);
}
