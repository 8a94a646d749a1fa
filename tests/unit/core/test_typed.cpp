// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/typed.hpp>

#include "core/json.hpp"

using namespace jobruntime;

namespace {

enum class Colour { red, green };
BOOST_DESCRIBE_ENUM(Colour, red, green)

struct Address {
    std::string host;
    std::uint16_t port = 0;
    bool operator==(const Address&) const = default;
};
BOOST_DESCRIBE_STRUCT(Address, (), (host, port))

struct Base {
    std::string trace;
    bool operator==(const Base&) const = default;
};
BOOST_DESCRIBE_STRUCT(Base, (), (trace))

struct Everything : Base {
    static constexpr auto kind = "test.everything";
    bool yes = false;
    int whole = 0;
    std::uint64_t large = 0;
    std::int8_t small = 0;
    double real = 0;
    std::string text;
    Colour colour = Colour::red;
    std::optional<std::string> maybe;
    std::optional<Address> other;
    Address to;
    std::vector<Address> all;
    std::vector<bool> flags;
    std::map<std::string, std::vector<int>> named;
    boost::json::value any;
    boost::json::object free;
    bool operator==(const Everything&) const = default;
};
BOOST_DESCRIBE_STRUCT(Everything, (Base),
                      (yes, whole, large, small, real, text, colour, maybe, other, to, all, flags, named, any, free))

static_assert(TypedJob<Everything>);
static_assert(!TypedJob<Address>);  // It has no kind.
static_assert(!TypedJob<int>);

Everything example() {
    Everything job;
    job.trace = "t";
    job.yes = true;
    job.whole = -7;
    job.large = UINT64_MAX;
    job.small = -128;
    job.real = 0.25;
    job.text = std::string("na\xc3\xafve \"\0", 9);
    job.colour = Colour::green;
    job.maybe = "m";
    job.to = {"h", 65535};
    job.all = {{"a", 1}, {"b", 2}};
    job.flags = {true, false};
    job.named = {{"x", {1, 2}}, {"y", {}}};
    job.any = {1, "two", nullptr};
    job.free = {{"k", 1}};
    return job;
}

/// The example's payload with one thing changed in it.
std::string error_with(std::string_view pointer, boost::json::value value) {
    boost::json::value payload = to_payload(example());
    boost::json::error_code missing;
    *payload.find_pointer(boost::json::string_view(pointer.data(), pointer.size()), missing) = std::move(value);
    const auto read = from_payload<Everything>(payload.as_object());
    if (read) return "it was read";
    CHECK(read.error().code == Errc::invalid_argument);
    CHECK(read.error().name == "INVALID_PAYLOAD");
    return read.error().message;
}

}  // namespace

TEST_CASE("a described struct reads back as it was written, also through text") {
    const auto job = example();
    const auto payload = to_payload(job);
    CHECK(payload.at("colour") == "green");
    CHECK(payload.at("trace") == "t");
    CHECK(payload.at("other").is_null());
    auto read = from_payload<Everything>(payload);
    REQUIRE(read);
    CHECK(*read == job);
    read = Typed<Everything>::from_payload(core::parse_json_object(core::to_text(payload)).value());
    REQUIRE(read);
    CHECK(*read == job);
}

TEST_CASE("unknown fields are ignored, missing optionals are empty, missing others are named") {
    auto payload = to_payload(example());
    payload["later_version"] = 1;
    payload.erase("maybe");
    const auto read = from_payload<Everything>(payload);
    REQUIRE(read);
    CHECK(!read->maybe);
    payload.erase("whole");
    CHECK(from_payload<Everything>(payload).error().message == "payload.whole: is missing");
}

TEST_CASE("an error names the path of the field and what was expected") {
    CHECK(error_with("/yes", 1) == "payload.yes: expected true or false");
    CHECK(error_with("/text", 5) == "payload.text: expected a string");
    CHECK(error_with("/real", "x") == "payload.real: expected a number");
    CHECK(error_with("/to", "x") == "payload.to: expected an object");
    CHECK(error_with("/to/port", 65536) == "payload.to.port: expected a whole number from 0 to 65535");
    CHECK(error_with("/small", 128) == "payload.small: expected a whole number from -128 to 127");
    CHECK(error_with("/whole", 2.5).starts_with("payload.whole: expected a whole number"));
    CHECK(error_with("/whole", 1e300).starts_with("payload.whole: expected a whole number"));
    CHECK(error_with("/large", -1).starts_with("payload.large: expected a whole number"));
    CHECK(error_with("/colour", "blue") == "payload.colour: expected one of red, green");
    CHECK(error_with("/colour", 1) == "payload.colour: expected one of red, green");
    CHECK(error_with("/all", 1) == "payload.all: expected a list");
    CHECK(error_with("/all/1/host", nullptr) == "payload.all[1].host: expected a string");
    CHECK(error_with("/named/x/1", "z").starts_with("payload.named.x[1]: expected a whole number"));
    CHECK(error_with("/maybe", 3) == "payload.maybe: expected a string");
}

TEST_CASE("whole numbers in floating form are whole numbers") {
    CHECK(error_with("/whole", 3.0) == "it was read");
    CHECK(error_with("/real", 3) == "it was read");
}
