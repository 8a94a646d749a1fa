// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/lost_claims.hpp"

#include <doctest/doctest.h>

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

SessionId session(std::uint8_t number) {
    SessionId id;
    id.bytes[15] = number;
    return id;
}

}  // namespace

TEST_CASE("a claim whose answer was lost is looked for until nothing can bring what it took any more") {
    mongo::LostClaims lost;
    const mongo::LostClaims::Moment begun{1000h};
    lost.add(session(1), "one", {}, begun);
    lost.add(session(2), "other", {}, begun);
    CHECK(lost.of(session(1)).contains("one"));
    lost.looked(session(1), begun + 10min);
    CHECK(lost.of(session(1)).contains("one"));
    // However long no write was confirmed: a majority may have been behind all the while.
    lost.add(session(1), "two", {}, begun + 3h);
    CHECK(lost.of(session(1)).size() == 2);
    lost.looked(session(1), begun + 3h);
    CHECK(lost.of(session(1)).size() == 1);
    CHECK(lost.of(session(1)).contains("two"));
    CHECK(lost.of(session(2)).empty());  // Nobody beats for it any more.
}

TEST_CASE("of so many lost claims that no more can be kept none is forgotten") {
    mongo::LostClaims lost;
    const mongo::LostClaims::Moment begun{1000h};
    std::size_t made = 0;
    for (; !lost.full(session(1), begun) && made < 100'000; ++made) lost.add(session(1), std::to_string(made), {}, begun);
    CHECK(lost.full(session(1), begun + 2h));
    CHECK(lost.full(session(2), begun + 59min));
    CHECK(lost.of(session(1)).size() == made);
    lost.looked(session(1), begun + 11min);
    CHECK_FALSE(lost.full(session(1), begun + 11min));
    // A session that is declared dead looks for nothing any more, and does not stop the one that comes after it for good.
    for (made = 0; !lost.full(session(1), begun) && made < 100'000; ++made) lost.add(session(1), std::to_string(made), {}, begun);
    CHECK_FALSE(lost.full(session(2), begun + 61min));
}
