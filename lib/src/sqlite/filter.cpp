// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/filter.hpp"

#include <charconv>

#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {
namespace {

using Key = Where::Key;

std::string states_of(StateSet states) {
    std::string text;
    for (unsigned i = 0; i < job_state_count; ++i)
        if (states.has(static_cast<JobState>(i))) text.append(text.empty() ? "" : ",").append(std::to_string(i));
    return text;
}

void add(Where& where, std::string term) { where.terms.push_back({Key::none, std::move(term), {}}); }

template <class Value>
void add(Where& where, Key key, std::string term, Value value) {
    where.terms.push_back({key, std::move(term), Where::Value(std::move(value))});
    where.plain = false;
}

bool add_names(Where& where, Words& words, std::string_view column, const std::vector<std::string>& names,
               std::vector<std::int64_t>& numbers) {
    if (names.empty()) return true;
    for (const auto& name : names)
        if (const auto number = words.find(name)) numbers.push_back(*number);
    if (numbers.empty()) return false;
    // The plus keeps the planner from taking an index because of this term; search.cpp chooses the way.
    add(where, "+" + std::string(column) + " IN (" + list_of(numbers) + ")");
    return true;
}

constexpr std::uint32_t fingerprint(std::string_view text) {
    std::uint32_t hash = 2166136261u;  // FNV-1a.
    for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 16777619u;
    return hash;
}

std::string hex(std::uint64_t value, int digits) {
    std::string text(static_cast<std::size_t>(digits), '0');
    for (int i = digits - 1; i >= 0; --i, value >>= 4) text[static_cast<std::size_t>(i)] = "0123456789abcdef"[value & 15];
    return text;
}

}  // namespace

std::string list_of(const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const auto number : numbers) text.append(text.empty() ? "" : ",").append(std::to_string(number));
    return text;
}

std::string Where::sql(Key except) const {
    std::string text;
    for (const auto& term : terms)
        if (except == Key::none || term.key != except) text.append(text.empty() ? "" : " AND ").append(term.sql);
    return text.empty() ? "1" : text;
}

int Where::bind(Statement& statement, int at, Key except) const {
    for (const auto& term : terms) {
        if (!term.value || (except != Key::none && term.key == except)) continue;
        if (const auto* number = std::get_if<std::int64_t>(&*term.value))
            statement.bind(at++, *number);
        else
            statement.bind(at++, std::string_view(std::get<std::string>(*term.value)));
    }
    return at;
}

Where where_of(const JobFilter& filter, Words& words) {
    Where where;
    if (!filter.states.empty()) add(where, "+state IN (" + states_of(filter.states) + ")");
    if (!add_names(where, words, "kind", filter.kinds, where.kinds)) where.none = true;
    if (!add_names(where, words, "queue", filter.queues, where.queues)) where.none = true;
    where.narrow = !where.terms.empty();
    if (!filter.tag.empty())
        add(where, Key::tag, "EXISTS (SELECT 1 FROM jobrt_tag WHERE tag = ? AND job = seq)", filter.tag);
    if (!filter.trace_id.empty()) {
        const auto own = own_trace_term(filter.trace_id);
        add(where, Key::trace, own.empty() ? "+trace = ?" : "(+trace = ? OR (" + own + "))", filter.trace_id);
    }
    if (!filter.unique_key.empty()) add(where, Key::unique, "+unique_key = ?", filter.unique_key);
    if (!filter.idempotency_key.empty()) add(where, Key::idempotency, "+idem_key = ?", filter.idempotency_key);
    if (!filter.error_code.empty()) add(where, Key::error, "+error_code = ?", filter.error_code);
    if (filter.session) {
        const std::string_view raw(reinterpret_cast<const char*>(filter.session.bytes.data()), 16);
        const auto number = words.find(raw, true);
        if (!number) where.none = true;
        add(where, Key::none, "+session = ?", number.value_or(0));
    }
    if (filter.created_before)
        add(where, Key::none, "created_at < ?", static_cast<std::int64_t>(ms(*filter.created_before)));
    if (filter.created_after)
        add(where, Key::none, "created_at >= ?", static_cast<std::int64_t>(ms(*filter.created_after)));
    return where;
}

std::string own_trace_term(std::string_view trace_id) {
    if (trace_id.size() != 32 || trace_id.find_first_not_of("0123456789abcdef") != trace_id.npos) return {};
    return "id = x'" + std::string(trace_id) + "' AND side & " + std::to_string(side_own_trace);
}

std::string write_cursor(char what, std::int64_t seq) {
    std::string text = what + hex(static_cast<std::uint64_t>(seq), 16);
    return text + hex(fingerprint("jobruntime " + text), 8);
}

Result<std::optional<std::int64_t>> read_cursor(char what, std::string_view text) {
    if (text.empty()) return std::optional<std::int64_t>{};
    std::uint64_t seq = 0;
    const bool right_size = text.size() == 25;
    if (right_size) std::from_chars(text.data() + 1, text.data() + 17, seq, 16);
    if (!right_size || write_cursor(what, static_cast<std::int64_t>(seq)) != text)
        return Error{Errc::invalid_argument, "the cursor is not one of this listing; begin again without one"};
    return std::optional<std::int64_t>{static_cast<std::int64_t>(seq)};
}

}  // namespace jobruntime::sqlite
