// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/lost_notes.hpp"

#include <algorithm>

#include <doctest/doctest.h>

using namespace jobruntime;
using mongo::LostNotes;

namespace {

JobId job(unsigned char number) {
    JobId id;
    id.bytes.fill(number);
    return id;
}

}  // namespace

TEST_CASE("a lost note is known by what it says, and whether it was told by the token that was seen") {
    LostNotes lost;
    CHECK(lost.sent_again("first") == 0);
    lost.lost(0, "first", job(1), {"token"});
    lost.lost(0, "second", job(2), {"token"});
    lost.saw(job(1), "another");
    lost.saw(job(1), "token");  // Of the same call, which may have reached the one job and not the other.
    const auto first = lost.sent_again("first"), second = lost.sent_again("second");
    CHECK(lost.landed(first));
    CHECK_FALSE(lost.landed(second));
    CHECK(lost.marks(second) == std::vector<std::string>{"token"});
    lost.lost(second, "second", job(2), {"token", "later"});
    lost.saw(job(2), "later");
    CHECK(lost.landed(lost.sent_again("second")));
    lost.lost(first, "first", job(1), {"token"});
    CHECK(lost.landed(lost.sent_again("first")));
}

TEST_CASE("two that say the same are two") {
    LostNotes lost;
    lost.lost(0, "twin", job(1), {"one"});
    lost.lost(0, "twin", job(1), {"two"});
    const auto first = lost.sent_again("twin"), second = lost.sent_again("twin");
    CHECK(first != 0);
    CHECK(second != 0);
    CHECK(first != second);
    CHECK(lost.sent_again("twin") == 0);
    lost.heard(first);
    CHECK_FALSE(lost.empty());
    lost.lost(second, "twin", job(1), {"two"});
    CHECK(lost.sent_again("twin") != 0);
    lost.saw(job(1), "one");  // Nobody's any more.
    lost.heard(3);
    CHECK(lost.empty());
}

TEST_CASE("of too many lost notes, or too large ones, those that were lost first are forgotten first") {
    LostNotes lost;
    std::size_t size = 10;
    int made = 20'000;
    SUBCASE("many") {}
    SUBCASE("large") {
        size = 1u << 20;
        made = 100;
    }
    const auto contents = [size](int number) { return std::to_string(number) + std::string(size, '.'); };
    for (int i = 0; i < made; ++i) lost.lost(0, contents(i), job(1), {std::to_string(i)});
    CHECK(lost.sent_again(contents(0)) == 0);
    int kept = 0;
    for (int i = made; i-- > 0 && lost.sent_again(contents(i)) != 0;) ++kept;
    CHECK(kept >= 10);
    CHECK(kept < made);
    for (int i = 0; i < made - kept; ++i) CHECK(lost.sent_again(contents(i)) == 0);
    lost.saw(job(1), std::to_string(made - 1));
}
