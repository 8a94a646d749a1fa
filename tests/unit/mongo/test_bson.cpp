// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "core/json.hpp"
#include "mongo/bson.hpp"

using namespace jobruntime;
using mongo::Doc;
using mongo::View;

TEST_CASE("JSON comes back from a document as it went in, also what BSON cannot hold as it is") {
    const char* const texts[] = {
        R"({})",
        R"([])",
        R"("text")",
        R"(null)",
        R"(true)",
        R"(-5)",
        R"(2147483648)",
        R"(9007199254740993)",
        R"(0.5)",
        R"(18446744073709551615)",
        R"({"a":{"b":[1,2.5,null,{"c":"d"}]}})",
        R"({"$set":1})",
        R"({"a.b":1})",
        R"({"":1})",
        R"({"a\u0000b":1})",
        R"({"a":[{"$where":"x"}]})",
        R"({"zero":"a\u0000b"})",
    };
    for (const char* text : texts) {
        CAPTURE(text);
        const auto value = core::parse_json(text);
        REQUIRE(value.has_value());
        Doc doc;
        doc.json("payload", *value);
        const auto back = View(doc).json("payload");
        REQUIRE(back.has_value());
        CHECK(*back == *value);
    }
}

TEST_CASE("what people can read stays readable: objects are documents, not text") {
    Doc doc;
    doc.json("payload", *core::parse_json(R"({"to":"ada","n":[1,2]})"));
    const auto inner = View(doc).doc("payload");
    REQUIRE(inner.has_value());
    CHECK(inner->text("to") == "ada");
    CHECK(!View(doc).has("payloadText"));
}

TEST_CASE("what would grow much in BSON is kept as text, and comes back the same") {
    boost::json::array many(200'000, 1);
    Doc doc;
    doc.json("result", many);
    CHECK(doc.size() < 600'000);
    CHECK(View(doc).json("result") == boost::json::value(many));
    Doc large;
    large.json("result", boost::json::string(500'000, 'x'));
    CHECK(View(large).text("result").has_value());
}

TEST_CASE("text that is no UTF-8 keeps what is") {
    Doc doc;
    doc.text("t", "a\xff");
    CHECK(View(doc).text("t") == "a\xef\xbf\xbd");
}

TEST_CASE("a field of another type is not there") {
    Doc doc;
    doc.text("n", "5").number("t", 7).real("d", 2.0).real("half", 0.5);
    const View view(doc);
    CHECK(!view.number("n"));
    CHECK(!view.text("t"));
    CHECK(view.number("d") == 2);
    CHECK(!view.number("half"));
    CHECK(!view.time("t"));
    CHECK(!view.doc("t"));
    CHECK(!view.flag("missing"));
}
