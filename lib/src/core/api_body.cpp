// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace core {
namespace {

/// Every whole number of so many characters fits into 64 bits.
constexpr std::size_t most_safe_digits = 18;

/// Members of all objects in it.
std::size_t count_members(const boost::json::value& value) {
    std::size_t count = 0;
    if (const auto* object = value.if_object()) {
        count = object->size();
        for (const auto& member : *object) count += count_members(member.value());
    } else if (const auto* array = value.if_array()) {
        for (const auto& item : *array) count += count_members(item);
    }
    return count;
}

/// Whether these digits, perhaps with a sign, are a whole number that 64 bits hold.
bool fits_64_bits(std::string_view digits) {
    const auto* end = digits.data() + digits.size();
    const auto reads = [&](auto number) {
        const auto read = std::from_chars(digits.data(), end, number);
        return read.ec == std::errc() && read.ptr == end;
    };
    return reads(std::int64_t{}) || reads(std::uint64_t{});
}

/// What the parser does not tell of a valid JSON text.
struct Marks {
    std::size_t colons = 0;           ///< Outside strings: exactly one for each member that was written.
    bool long_number = false;         ///< A whole number that 64 bits do not hold, of which it keeps the first 17 digits.
};

Marks marks_of(std::string_view text) {
    constexpr std::string_view of_numbers = "+-.0123456789Ee";
    Marks marks;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (in_string && text[i] == '\\') ++i;
        else if (text[i] == '"') in_string = !in_string;
        else if (in_string) continue;
        else if (text[i] == ':') ++marks.colons;
        else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
            const auto number = text.substr(i, text.find_first_not_of(of_numbers, i) - i);
            const bool whole = number.find_first_of(".Ee") == std::string_view::npos;
            if (whole && number.size() > most_safe_digits && !fits_64_bits(number)) marks.long_number = true;
            i += number.size() - 1;
        }
    }
    return marks;
}

}  // namespace

Result<boost::json::object> parse_body(std::string_view text) {
    if (text.empty()) return boost::json::object{};
    auto value = parse_json(text);
    if (!value) return invalid("the body is " + value.error().message, "INVALID_JSON");
    // The parser keeps the last of two members with one name; two readers may take different ones for true.
    const auto marks = marks_of(text);
    if (marks.colons != count_members(*value))
        return invalid("the body names a member of an object twice; name it once", "INVALID_JSON");
    // The parser would make a double of it, which is another number.
    if (marks.long_number)
        return invalid("a whole number beyond 64 bits would lose digits; send it as a string", "INVALID_NUMBER");
    if (!value->is_object()) return invalid("the body must be a JSON object, written as {…}", "INVALID_JSON");
    return std::move(value->get_object());
}

}  // namespace core

Result<boost::json::object> ApiRouter::body_object(const Request& request) { return core::parse_body(request.body); }

Result<EnqueueOptions> ApiRouter::job_options(const boost::json::object& body) const {
    static const std::vector<RouteField> fields = job_fields();
    if (auto fit = core::check_known_members(fields, body); !fit) return fit.error();
    EnqueueOptions options;
    if (const auto* queue = body.if_contains("queue")) options.queue = queue->as_string();
    if (const auto* priority = body.if_contains("priority")) options.priority = priority->to_number<std::int16_t>();
    if (const auto* attempts = body.if_contains("maxAttempts")) options.max_attempts = attempts->to_number<int>();
    if (const auto* delay = body.if_contains("delayMs")) options.delay = Duration{delay->to_number<std::int64_t>()};
    if (const auto* run_at = body.if_contains("runAt")) options.run_at = *parse_iso(run_at->as_string());
    if (options.delay && options.run_at) return core::invalid("delayMs cannot go together with runAt; give one of them");
    if (const auto* key = body.if_contains("uniqueKey")) options.unique = key->as_string();
    if (const auto* tags = body.if_contains("tags"))
        for (const auto& tag : tags->as_array()) options.tags.emplace_back(tag.as_string());
    return options;
}

}  // namespace jobruntime
