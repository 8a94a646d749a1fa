// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <functional>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"

namespace jobruntime::core {
namespace {

/// `texts` answers with the values of a name, none when it is not given; they were checked before.
JobFilter filter_of(const std::function<std::vector<std::string>(std::string_view)>& texts) {
    const auto text = [&](std::string_view name) {
        auto values = texts(name);
        return values.empty() ? std::string() : std::move(values.front());
    };
    const auto time = [&](std::string_view name) -> std::optional<Time> {
        const auto given = text(name);
        if (given.empty()) return std::nullopt;
        return *parse_iso(given);
    };
    JobFilter filter;
    for (const auto& state : texts("status")) filter.states = filter.states | StateSet{*parse_job_state(state)};
    filter.kinds = texts("kind");
    filter.queues = texts("queue");
    filter.tag = text("tag");
    filter.trace_id = text("traceId");
    filter.unique_key = text("uniqueKey");
    filter.error_code = text("errorCode");
    filter.session = SessionId::parse(text("workerId")).value_or(SessionId{});
    filter.created_after = time("createdAfter");
    filter.created_before = time("createdBefore");
    return filter;
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> items;
    while (true) {
        const auto comma = text.find(',');
        items.emplace_back(text.substr(0, comma));
        if (comma == std::string_view::npos) return items;
        text.remove_prefix(comma + 1);
    }
}

bool takes_several(std::string_view name) { return name == "status" || name == "kind" || name == "queue"; }

}  // namespace

JobFilter job_filter(const RouteMatch& match) {
    return filter_of([&](std::string_view name) -> std::vector<std::string> {
        const auto text = match.query_value(name);
        if (!text) return {};
        if (takes_several(name)) return split(*text);
        return {std::string(*text)};
    });
}

JobFilter job_filter(const boost::json::object& members) {
    return filter_of([&](std::string_view name) {
        std::vector<std::string> texts;
        const auto* value = members.if_contains(name);
        if (value && value->is_string()) texts.emplace_back(value->get_string());
        if (const auto* list = value ? value->if_array() : nullptr)
            for (const auto& item : *list) texts.emplace_back(item.as_string());
        return texts;
    });
}

boost::json::object counts_json(const std::vector<CountRow>& rows) {
    std::array<std::uint64_t, job_state_count> counts{};
    for (const auto& row : rows)
        if (row.state) counts[static_cast<std::size_t>(*row.state)] += row.count;
    boost::json::object object;
    for (std::size_t i = 0; i < counts.size(); ++i) object[to_string(static_cast<JobState>(i))] = counts[i];
    return object;
}

}  // namespace jobruntime::core
